"""The exerciser's loop with a clock of the test: what it says, what it touches when, and what it writes down."""

import json
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler import exercise
from reconciler.exerciser import program, settings
from reconciler.exerciser.arrays import Array
from reconciler.exerciser.program import Doors

PAGE = mmap.PAGESIZE
PRESENT = 63  # bit of Documentation/admin-guide/mm/pagemap.rst


@dataclass
class World:
    """Waiting is what makes time pass."""

    now: float = 100.0
    waits: int = 10_000  # then somebody presses Enter
    said: list[str] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.now = round(self.now + max(seconds, 1e-3), 9)
        self.waits -= 1
        return self.waits < 0

    def run(self, scenario: str = "", **said: str) -> None:
        flags: dict[str, str | None] = {name.replace("_", "-"): text for name, text in said.items()}
        doors = Doors(say=self.said.append, tell=self.tell, wait=self.wait, clock=lambda: self.now)
        program.perform(settings.of(flags, scenario), doors)

    def tell(self, line: str) -> None:
        self.truth.append(json.loads(line))

    def touched(self, *, kind: str) -> list[list[tuple[int, int]]]:
        """For each interval, counted in pages from the first array's start."""
        first = self.truth[0]["mapped"][0][0]
        return [
            [((low - first) // PAGE, (high - first) // PAGE) for low, high, found in line["ranges"] if found == kind]
            for line in self.truth
        ]

    def plain(self) -> str:
        """Without what differs each time: pids, and where memory is."""
        first = self.truth[0]["mapped"][0][0]
        text = re.sub(r"\b7[0-9a-f]{11}\b", lambda at: f"+{int(at[0], 16) - first:x}", "\n".join(self.said))
        return text.replace(str(os.getpid()), "PID")


@pytest.fixture
def world() -> World:
    return World()


def test_what_it_says(world: World) -> None:
    world.waits = 4
    world.run(bs="64k", brs="32k", bws="8k", bwo="8k", bwod="4k", bri="1s", bwi="2s", bwp="2", seed="1", p="2s")

    assert (
        world.plain()
        == """\
memory exerciser
pid: PID
creating 1 byte arrays
    array: +0-+ffff (65536 bytes)
start exerciser 0: read +0-+7fff (32768 bytes)
start exerciser 1: write +2000-+3fff (8192 bytes)
portion order: [1, 0]
press enter to exit...
wake exerciser 0: round 1 range +0-+7fff
avgspeed exerciser 0: 1.000000 s/round
wake exerciser 0: round 2 range +0-+7fff
avgspeed exerciser 1: 2.000000 s/round
wake exerciser 1: round 1 range +3000-+4fff
wake exerciser 0: round 3 range +0-+7fff"""
    )


def test_the_first_line_of_truth_is_the_filling(world: World) -> None:
    world.run(bs="64k", brc="0", bwc="0", ttl="3s")
    size = [[(0, 16)], [], [], []]

    assert world.touched(kind="write") == size
    assert world.touched(kind="read") == [[], [], [], []]
    assert [line["begin"] for line in world.truth[1:]] == [line["end"] for line in world.truth[:-1]]
    assert {line["pid"] for line in world.truth} == {os.getpid()}


def test_intervals_say_what_was_touched_in_them(world: World) -> None:
    world.run(bs="64k", brs="4k", brod="4k", bri="1s", bws="8k", bwo="32k", bwi="200ms", ttl="3500ms")

    assert world.touched(kind="read")[1:4] == [[(0, 1)], [(1, 2)], [(2, 3)]]
    assert world.touched(kind="write")[1:4] == [[(8, 10)]] * 3


def test_a_window_that_is_held_moves_with_time(world: World) -> None:
    world.run(bs="64k", brc="0", bws="4k", bwod="8k", bwi="100ms", move_every="2s", ttl="6s")

    assert [pages[-1] for pages in world.touched(kind="write")[1:]] == [(0, 1)] * 2 + [(2, 3)] * 2 + [(4, 5)] * 2


def test_stripes(world: World) -> None:
    world.run(bs="64k", bwc="0", bri="1s", stripes="4k/16k", ttl="1500ms")

    assert world.touched(kind="read")[1] == [(0, 1), (4, 5), (8, 9), (12, 13)]


def test_arrays_come_and_go(world: World) -> None:
    world.run(bs="8k", bc="2", brc="3", bwc="0", bri="10s", bcd="2/2s,-3/3s", ttl="4500ms", interval="900ms")

    assert [len(line["mapped"]) for line in world.truth] == [2, 2, 2, 4, 1, 3]
    assert [line.split(":")[0].strip() for line in world.said if "exerciser " in line] == [
        "start exerciser 0",
        "start exerciser 1",
        "start exerciser 2",
        "stop exerciser 2",
        "stop exerciser 1",
        "start exerciser 3",
        "start exerciser 4",
    ]


def test_more_arrays_are_taken_away_than_there_are(world: World) -> None:
    world.run(bs="8k", bcd="-3/1s", ttl="2500ms")

    assert [len(line["mapped"]) for line in world.truth] == [1, 1, 0, 0]


def test_an_array_grows_in_its_place_up_to_a_limit(world: World) -> None:
    world.run(bs="64k", brc="0", bwc="0", grow="100k/1s", ttl="6500ms")
    spans = [line["mapped"][0] for line in world.truth]

    assert {start for start, _ in spans} == {spans[0][0]}
    assert [(end - start) >> 10 for start, end in spans] == [64, 64, 164, 264, 364, 464, 512, 512]
    assert world.touched(kind="write")[2] == [(16, 41)]


def test_files_are_mapped_and_removed_again(world: World, tmp_path: Path) -> None:
    (tmp_path / "a.1").write_bytes(bytes(4096))
    world.run(bs="64k", bc="2", file=f"{tmp_path}/a", bws="8k", bri="1s", bwi="1s", ttl="1500ms")

    assert [path.name for path in tmp_path.iterdir()] == []
    assert world.touched(kind="write")[1] == [(0, 2)]


def test_enter_ends_it(world: World) -> None:
    world.waits = 3
    world.run(bs="64k")

    assert world.said[-1] == "press enter to exit..."
    assert len(world.truth) == 2


# -- real pages ------------------------------------------------------------------------------------------------------


@pytest.fixture
def array() -> Iterator[Array]:
    made = Array(64 * PAGE, hugepages="never")
    exercise.libc.madvise(made.start, made.size, mmap.MADV_DONTNEED)
    yield made
    made.free()


def present(array: Array) -> list[int]:
    """Pages that somebody has touched since they were dropped."""
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        entries = os.pread(pagemap.fileno(), array.size // PAGE * 8, array.start // PAGE * 8)
    return [index for index, entry in enumerate(memoryview(entries).cast("Q")) if entry >> PRESENT]


@pytest.mark.parametrize("how", ["read", "write", "read_bytes", "write_bytes"])
@pytest.mark.parametrize("span", [(0, 64 * PAGE), (3 * PAGE, 7 * PAGE), (5 * PAGE, 6 * PAGE)])
def test_nothing_but_the_span_is_touched(array: Array, how: str, span: tuple[int, int]) -> None:
    assert present(array) == []

    getattr(array, how)(span)

    assert present(array) == list(range(span[0] // PAGE, span[1] // PAGE))


def written(array: Array, how: str) -> bytes:
    getattr(array, how)((0, array.size))
    return bytes(exercise.view(array.start, array.end))


@pytest.mark.parametrize("how", ["write", "write_bytes"])
def test_writing_changes_memory_and_reading_does_not(array: Array, how: str) -> None:
    pages = exercise.view(array.start, array.end)
    before = bytes(pages)
    for name in ("read", "read_bytes"):
        getattr(array, name)((0, array.size))
        assert bytes(pages) == before

    assert any(written(array, how) != before for _ in range(20)), "one byte of 256 is the one that was there"


@pytest.mark.parametrize(
    "said",
    [
        {"brc": "0", "bws": "20k", "bwo": "8k"},
        {"bwc": "0", "brs": "20k", "bro": "8k"},
        {"brs": "16k", "bws": "16k", "bwo": "128k"},
        {"brc": "0", "stripes": "8k/32k"},
        {"bwc": "0", "brs": "64k", "brp": "3"},
        {"brc": "0", "bws": "5000", "bwo": "100"},
        {"brc": "0", "bws": "64k", "bwp": "5", "touch": "bytes"},
    ],
)
def test_the_truth_is_what_pagemap_shows(said: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are dropped between filling and the first round; those of the truth are there after it, no others."""
    world, told = World(waits=1), settings.of({"bs": "256k", "hugepages": "never", **said})
    doors = Doors(say=world.said.append, tell=world.tell, wait=world.wait, clock=lambda: world.now)
    loop = program.Loop(told, doors)
    loop.fill()
    array = loop.arrays[0]
    exercise.libc.madvise(array.start, array.size, mmap.MADV_DONTNEED)
    loop.run(1000)
    found, pages = present(array), set[int]()
    for start, end, _ in world.truth[-1]["ranges"]:
        pages |= {(at - array.start) // PAGE for at in range(start // PAGE * PAGE, end, PAGE)}
    array.free()

    assert found == sorted(pages)
    assert 0 < len(found) < 64


def test_a_grown_array_is_one_mapping() -> None:
    array = Array(1 << 20, grows=True)
    array.grow(1 << 20)
    maps = Path("/proc/self/maps").read_text()
    array.free()

    assert re.search(rf"^{array.start:x}-{array.start + (2 << 20):x} rw-p", maps, re.MULTILINE)
    assert f"{array.start:x}-" not in Path("/proc/self/maps").read_text()
