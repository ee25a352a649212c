"""Deadlines, deaths and rates, on a clock of the test's own."""

import threading
import time

import pytest

from reconciler.engine.bucket import Bucket
from reconciler.engine.scheduler import Scheduler
from reconciler.engine.ticker import Ticker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("piece", [1.0, 7.0, 250.0])
@pytest.mark.parametrize("step", [0.01, 0.02, 0.3])
def test_the_rate_holds_for_pieces_of_any_size(piece: float, step: float) -> None:
    clock = Clock()
    bucket, spent = Bucket(100, 50, clock), 0.0
    while clock.now < 60:
        while bucket.level() >= 0 and spent < 100 * clock.now + piece:
            bucket.spend(piece)
            spent += piece
            if bucket.level() < 0:
                break
        clock.now += max(step, bucket.wait())

    assert spent == pytest.approx(6000, rel=0.05)


def test_a_rest_earns_no_storm() -> None:
    clock = Clock()
    bucket = Bucket(100, 50, clock)
    clock.now = 3600

    assert bucket.level() == 50


def test_a_rate_of_zero_waits_for_ever() -> None:
    bucket = Bucket(0, 0, Clock())
    bucket.spend(1)

    assert bucket.wait() == float("inf")


def test_a_ticker_neither_drifts_nor_catches_up() -> None:
    ticker = Ticker(10, 0)
    taken = [now for now in (0, 3, 10, 21, 29, 30, 75, 80, 85, 96) if ticker.take(now)]

    assert taken == [0, 10, 21, 30, 75, 85, 96]


def test_jobs_that_wait_for_somebody_else_hold_nobody_up() -> None:
    both, go = threading.Barrier(3, timeout=60), threading.Event()
    scheduler = Scheduler(lambda *_: None, time.monotonic, workers=1)

    def waits() -> float:
        both.wait()
        go.wait(60)
        return float("inf")

    scheduler.widen(2)
    scheduler.add("one", waits)
    scheduler.add("other", waits)
    both.wait()  # both of them are under way at once
    ran = threading.Event()

    def runs() -> float:
        ran.set()
        return float("inf")

    scheduler.add("third", runs)

    assert ran.wait(60)
    go.set()
    scheduler.close()


def test_without_threads_it_gets_none() -> None:
    before = set(threading.enumerate())
    Scheduler(lambda *_: None, Clock(), workers=0).widen(5)

    assert set(threading.enumerate()) <= before


def test_jobs_run_in_order_of_their_deadlines() -> None:
    clock, ran = Clock(), list[str]()
    scheduler = Scheduler(lambda *_: None, clock, workers=0)

    def job(name: str, interval: float) -> float:
        ran.append(name)
        return clock.now + interval

    scheduler.add("slow", lambda: job("slow", 5))
    scheduler.add("fast", lambda: job("fast", 2))
    while clock.now < 6:
        while scheduler.turn():
            pass
        clock.now = scheduler.next_deadline()

    assert ran == ["slow", "fast", "fast", "fast", "slow"]


def test_a_dead_job_is_told_and_the_others_go_on() -> None:
    clock, told, ran = Clock(), list[tuple[str, str]](), list[int]()
    scheduler = Scheduler(lambda key, error: told.append((key, str(error))), clock, workers=0)

    def die() -> float:
        raise RuntimeError("why")

    scheduler.add("dies", die)

    def live() -> float:
        ran.append(1)
        return clock.now + 1

    scheduler.add("lives", live)
    for clock.now in range(3):
        while scheduler.turn():
            pass

    assert (told, len(ran)) == ([("dies", "why")], 3)


def test_a_removed_job_does_not_come_back_even_if_it_is_running() -> None:
    clock, ran = Clock(), list[int]()
    scheduler = Scheduler(lambda *_: None, clock, workers=0)

    def job() -> float:
        ran.append(1)
        scheduler.remove("job")
        return clock.now

    scheduler.add("job", job)
    while scheduler.turn():
        pass

    assert (ran, scheduler.next_deadline()) == ([1], float("inf"))


def test_workers_run_jobs_and_end() -> None:
    done = threading.Event()
    scheduler = Scheduler(lambda *_: None, time.monotonic, workers=2)

    def job() -> float:
        done.set()
        return float("inf")

    scheduler.add("job", job)

    assert done.wait(30)
    scheduler.close()
    assert not any(thread.is_alive() for thread in scheduler._threads)


def run_until(end: float, clock: Clock, scheduler: Scheduler) -> None:
    while (deadline := scheduler.next_deadline()) <= end:
        clock.now = max(clock.now, deadline)
        scheduler.turn()


def test_a_job_that_is_hurried_runs_earlier_and_once() -> None:
    clock, ran = Clock(), list[float]()
    scheduler = Scheduler(lambda *_: None, clock, workers=0)

    def job() -> float:
        ran.append(clock.now)
        return clock.now + 100

    scheduler.add("job", job)
    scheduler.turn()
    for deadline in (7.0, 5.0, 6.0):
        scheduler.hurry("job", deadline)
    scheduler.hurry("nobody", 1.0)
    run_until(200, clock, scheduler)

    assert ran == [0, 5, 105]


def test_a_job_that_is_hurried_while_it_runs_runs_again() -> None:
    clock, ran = Clock(), list[float]()
    scheduler = Scheduler(lambda *_: None, clock, workers=0)

    def job() -> float:
        ran.append(clock.now)
        if len(ran) == 1:
            scheduler.hurry("job", 3.0)
        return clock.now + 100

    scheduler.add("job", job)
    run_until(50, clock, scheduler)

    assert ran == [0, 3]


def test_hurrying_never_puts_off() -> None:
    clock, ran = Clock(), list[float]()
    scheduler = Scheduler(lambda *_: None, clock, workers=0)

    def job() -> float:
        ran.append(clock.now)
        return clock.now + 10

    scheduler.add("job", job)
    scheduler.turn()
    scheduler.hurry("job", 50.0)
    run_until(25, clock, scheduler)

    assert ran == [0, 10, 20]
