"""Transitions, followed: in order, from a while ago, and without holes."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.control import answering, client, server
from reconciler.control.answering import Answers
from reconciler.control.feed import Feed, TooSlow
from reconciler.report import Transition


def made(*numbers: int) -> list[Transition]:
    return [
        Transition(kind="state", cycle=number, workload="a", before="drift", after="converged") for number in numbers
    ]


@pytest.fixture
def feed() -> Feed:
    return Feed(remembered=5, waiting=3)


@pytest.fixture
def path(feed: Feed, tmp_path: Path) -> Iterator[str]:
    serving = server.serve(str(tmp_path / "control.sock"), Answers(transitions=feed))
    yield serving.socket_path
    serving.close()


def test_a_reader_gets_what_comes_and_as_much_of_the_past_as_it_asks_for(feed: Feed) -> None:
    for one in made(1, 2, 3, 4, 5, 6):
        feed.publish(one)
    some, none, all_of_it = feed.follow(2), feed.follow(0), feed.follow(99)
    feed.publish(made(7)[0])

    assert [next(found).cycle for found in [iter(some)] * 3] == [5, 6, 7]
    assert next(iter(none)).cycle == 7
    assert next(iter(all_of_it)).cycle == 2


def test_a_slow_reader_is_told_and_the_others_go_on(feed: Feed) -> None:
    slow, quick = feed.follow(), feed.follow()
    seen = []
    for one in made(1, 2, 3, 4):
        feed.publish(one)
        seen.append(next(iter(quick)).cycle)

    assert seen == [1, 2, 3, 4]
    with pytest.raises(TooSlow, match="3 transitions were waiting for you"):
        next(iter(slow))


def test_the_end_of_a_reader_wakes_it(feed: Feed) -> None:
    reader = feed.follow()
    waiting = threading.Thread(target=list, args=(reader,))
    waiting.start()

    feed.leave(reader)
    waiting.join(60)

    assert not waiting.is_alive()
    feed.publish(made(1)[0])


def test_over_the_socket(feed: Feed, path: str) -> None:
    feed.publish(made(1)[0])
    with client.Client(path) as ends:
        found = ends.watch(past=1)
        first = next(found)
        feed.publish(Transition(kind="problem", text="bad\nfile", time="2026-11-25T07:00:00+00:00"))
        second = next(found)
        found.close()

    assert (first["cycle"], first["before"], first["after"], first["workload"]) == (1, "drift", "converged", "a")
    assert (second["kind"], second["text"]) == ("problem", "bad\nfile")


def test_only_so_many_watch_at_once_and_who_leaves_makes_room(feed: Feed, path: str) -> None:
    feed.publish(made(1)[0])
    with client.Client(path) as ends:
        readers = [ends.watch(past=1) for _ in range(answering.MOST_READERS)]
        assert [next(reader)["cycle"] for reader in readers] == [1] * len(readers)
        with pytest.raises(client.Busy, match="8 clients are watching already"):
            next(ends.watch(past=1))
        readers[0].close()
        assert _again(ends)["cycle"] == 1


def _again(ends: client.Client) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while True:  # until the server has noticed that the other one left
        try:
            return next(ends.watch(past=1))
        except client.Busy:
            assert time.monotonic() < deadline


def test_the_daemons_end_ends_the_stream(feed: Feed, tmp_path: Path) -> None:
    serving = server.serve(str(tmp_path / "other.sock"), Answers(transitions=feed))
    feed.publish(made(1)[0])
    with client.Client(serving.socket_path) as ends:
        found = ends.watch(past=1)
        next(found)
        serving.close()
        with pytest.raises(client.Unavailable):
            next(found)
