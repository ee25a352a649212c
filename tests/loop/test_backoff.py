"""Backoff as plain data."""

import pytest

from reconciler import backoff
from reconciler.actions import Outcome, Result, Retry, StartEngine, StopEngine, WriteKnob
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.model import EngineTask, Knob

WRITE = WriteKnob(workload="w", cgroup="/w", inode=1, knob=Knob.MEMORY_HIGH, value="4096", seen="max")
TASK = EngineTask(workload="w", config=EngineConfig(policy=AgeConfig(interval_ms=1000)), tracker="referenced")
KEY = ("w", "memory.high")


def after(result: Result, times: int = 1, jitter: float = 0.0) -> dict[backoff.Key, Retry]:
    retries: dict[backoff.Key, Retry] = {}
    for _ in range(times):
        retries = backoff.advance(retries, [Outcome(action=WRITE, result=result, message="m")], 100.0, jitter)
    return retries


@pytest.mark.parametrize(("times", "delay"), [(1, 1.0), (2, 2.0), (4, 8.0), (9, 256.0), (10, 300.0), (1000, 300.0)])
def test_delays_double_up_to_five_minutes(times: int, delay: float) -> None:
    assert after(Result.BUSY, times)[KEY].not_before == 100.0 + delay


def test_jitter_takes_up_to_half() -> None:
    assert after(Result.BUSY, 2, jitter=1.0)[KEY].not_before == 101.0


def test_rejected_waits_for_another_value_and_sets_no_deadline() -> None:
    retries = after(Result.REJECTED)

    assert retries[KEY].rejected == "4096"
    assert backoff.next_deadline(retries) is None


@pytest.mark.parametrize("result", [Result.DONE, Result.GONE])
def test_success_and_disappearance_end_it(result: Result) -> None:
    assert backoff.advance(after(Result.BUSY), [Outcome(action=WRITE, result=result)], 0.0, 0.0) == {}


def test_skipped_changes_nothing() -> None:
    before = after(Result.BUSY)

    assert backoff.advance(before, [Outcome(action=WRITE, result=Result.SKIPPED)], 999.0, 0.0) == before


def test_a_loop_that_keeps_dying_is_started_ever_more_rarely_until_it_lives() -> None:
    retries: dict[backoff.Key, Retry] = {}
    started = Outcome(action=StartEngine(workload="w", task=TASK), result=Result.DONE)
    for _ in range(3):
        retries = backoff.died(retries, TASK, "boom", 100.0, 0.0)
        retries = backoff.advance(retries, [started], 100.0, 0.0)

    assert retries[("w", "engine")].not_before == 104.0
    assert "boom" in retries[("w", "engine")].reason
    assert backoff.advance(retries, [], 104.0 + backoff.LONGEST_SECONDS + 1, 0.0) == {}


def test_engine_failures_have_a_key_of_their_own() -> None:
    stop = StopEngine(workload="w", reason="r")

    assert set(backoff.advance({}, [Outcome(action=stop, result=Result.BUSY)], 0.0, 0.0)) == {("w", "engine")}
