"""The loop: wake-ups collapse, a bug does not end it, it ends when told. Time is a parameter here."""

import threading

import pytest

from reconciler.actions import Outcome, Result, StopEngine
from reconciler.loop import Loop, next_look

LONG = 60.0  # seconds; a limit for a broken test, never waited for


class Cycles:
    """Counts cycles, and ends the loop after the wanted number."""

    def __init__(self, wanted: int) -> None:
        self.reasons: list[str] = []
        self.wanted = wanted
        self.time = 0.0
        self.loop = Loop(cycle=self.cycle, clock=self.clock, idle_seconds=0.0)

    def clock(self) -> float:
        self.time += 0.05
        return self.time

    def cycle(self, reason: str) -> float | None:
        self.reasons.append(reason)
        if len(self.reasons) >= self.wanted:
            self.loop.finish()
        return None


def test_it_starts_with_a_look_and_resyncs_by_itself() -> None:
    cycles = Cycles(3)

    cycles.loop.run()

    assert cycles.reasons == ["start", "resync", "resync"]


def test_many_wakeups_are_one_look_with_all_reasons() -> None:
    cycles = Cycles(2)
    for reason in ("files", "files", "engine w died"):
        cycles.loop.wake(reason)

    cycles.loop.run()

    assert cycles.reasons == ["start", "files, engine w died"]


def test_while_it_rests_figures_are_refreshed_without_a_look() -> None:
    refreshed: list[int] = []
    loop = Loop(cycle=lambda _: None, clock=lambda: 0.0, idle_seconds=LONG, refresh_seconds=0.0)

    def refresh() -> None:
        refreshed.append(1)
        if len(refreshed) == 3:
            loop.finish()

    loop.refresh = refresh
    loop.run()

    assert len(refreshed) == 3


def test_a_bug_in_a_cycle_is_logged_and_the_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    cycles = Cycles(2)
    alive: list[int] = []
    cycles.loop.alive = lambda: alive.append(len(cycles.reasons))

    def broken(reason: str) -> float | None:
        cycles.cycle(reason)
        if reason == "start":
            raise ZeroDivisionError
        return None

    cycles.loop.cycle = broken
    cycles.loop.run()

    assert len(cycles.reasons) == 2
    assert "event=cycle-failed" in caplog.text
    assert alive == [2], "no sign of life after a failed cycle"


def test_it_can_be_ended_from_another_thread_while_it_rests() -> None:
    seen = threading.Event()
    loop = Loop(cycle=lambda _: seen.set(), clock=lambda: 0.0, idle_seconds=LONG)
    thread = threading.Thread(target=loop.run)
    thread.start()
    assert seen.wait(LONG)

    loop.finish()
    thread.join(LONG)

    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("retry", "changed", "expected"),
    [(None, False, None), (7.0, False, 7.0), (None, True, 11.0), (7.0, True, 7.0), (50.0, True, 11.0)],
)
def test_after_a_change_it_looks_again_soon(retry: float | None, changed: bool, expected: float | None) -> None:
    outcomes = (Outcome(action=StopEngine(workload="w", reason="r"), result=Result.DONE),) if changed else ()

    assert next_look(retry, outcomes, 10.0) == expected
