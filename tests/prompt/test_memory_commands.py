"""pages, arange, swap: what they print of a process, and what they do to it."""

import numpy as np
import pytest

from sysfs import kpageflags, pagemap
from tests.engine.fake_process import BASE, PAGE, FakeProcess
from tests.prompt.conftest import PID, Prompt

HEAP, ANON = "400000-410000 (65536 B)", "414000-434000 (131072 B)"


def test_pages_selects_what_is_present_and_exclusive(prompt: Prompt) -> None:
    assert prompt("pages -pid 42") == [
        "searching for address ranges of pid 42",
        "found 2 address ranges",
        "aranges = <2 address ranges of pid 42>",
        "pages = <14 pages of pid 42>",
    ]


@pytest.mark.parametrize(
    ("attributes", "pages"),
    [
        ("Present", 16),
        ("present,EXCLUSIVE", 14),
        ("Dirty", 2),
        ("Present,NotDirty", 14),
        ("NotDirty", 46),
        ("Present,InHeap", 4),
        ("Exclusive,InAnonymous", 10),
        ("InHeap,InAnonymous", 48),
    ],
)
def test_attributes(prompt: Prompt, attributes: str, pages: int) -> None:
    assert prompt(f"pages -pid 42 -attrs {attributes}")[-1] == f"pages = <{pages} pages of pid 42>"


def test_a_range_that_begins_outside_of_a_mapping_selects_what_it_covers(prompt: Prompt) -> None:
    assert prompt("pages -pid 42 -ranges 0-7fffffffffff")[2:] == [
        "using 2 address ranges",
        "aranges = <2 address ranges of pid 42>",
        "pages = <14 pages of pid 42>",
    ]
    assert prompt("pages -pid 42 -ranges 402800+4k,416001-41a000")[2:] == [
        "using 2 address ranges",
        "aranges = <2 address ranges of pid 42>",
        "pages = <6 pages of pid 42>",
    ]


def test_pages_prints_ranges_and_pagemap(prompt: Prompt) -> None:
    assert prompt("pages -pid 42 -pr 1")[-1] == HEAP
    assert prompt("pages -pid 42 -ranges 41d000+3M -pm 3")[3:] == [
        "bits: softdirty, exclusive, uffd_wp, file, swap, present",
        "41d000: bits: 000001 pfn: 29",
        "41e000: bits: 110001 pfn: 30",
        "41f000: bits: 110001 pfn: 31",
    ]
    assert prompt("pages -pid 42 -ranges 428000 -pm 9")[-1] == "428000: bits: 000010 pfn: 0"


def test_page_frames(prompt: Prompt) -> None:
    prompt.kernel.idle_bitmap(np.full(8192, 1 << 5 | 1 << 12 | 1 << 26, np.uint64))
    assert prompt("pages -pi 70") == ["PFN 70 idle: false"]
    assert prompt("pages -si 70") == []
    assert prompt("pages -pi 70") == ["PFN 70 idle: true"]
    assert prompt("pages -pi 71") == ["PFN 71 idle: false"]

    rows = prompt("pages -pk 70")
    assert [row for row in rows if row.endswith("1")] == ["LRU           1", "ANON          1", "PGTABLE       1"]
    assert len(rows) == len(kpageflags.NAMES) == 27


def test_page_frames_that_are_not_there(prompt: Prompt) -> None:
    assert "is missing" not in prompt.wrong("pages -pi 70")[0]
    assert "page_idle/bitmap" in prompt.wrong("pages -pi 70")[0]
    prompt.kernel.idle_bitmap()
    assert "no page frame 99999" in prompt.wrong("pages -pk 99999")[0]
    assert "no page frame number" in prompt.wrong("pages -pk -4")[0]
    prompt.host.no_marks = "the daemon uses them"
    assert prompt.wrong("pages -si 1") == ["pages: the daemon uses them"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pages", "pages: no pages are selected: `pages -pid PID` does"),
        ("pages -pr 1", "pages: which process? -pid PID"),
        ("pages -pid 0", "pages: -pid: 0 is no process id"),
        ("pages -pid 42 -attrs Huge", "pages: -attrs: 'Huge' is no attribute; there are Present, Exclusive, Dirty"),
        ("pages -pid 42 -attrs Dirty,NotDirty", "pages: -attrs: Dirty and NotDirty contradict each other"),
        ("pages -pid 42 -ranges nowhere", "pages: 'nowhere' is no address range: write START, START-END"),
        ("pages -pid 42 -ranges 1-2", "pages: no address ranges from which to find pages"),
        ("pages 42", "pages: unexpected word '42'; a flag begins with -, and -h lists them"),
        ("pages -pid 43", "pages: [Errno 2] No such file or directory: '/proc/43/maps'"),
    ],
)
def test_what_pages_cannot_do(prompt: Prompt, line: str, said: str) -> None:
    assert prompt.wrong(line)[-1].startswith(said)


def test_arange(prompt: Prompt) -> None:
    assert prompt.wrong("arange -ls") == ["arange: no address ranges are selected: -pid PID does"]
    assert prompt("arange -pid 42 -ls") == [HEAP, ANON, "selected address ranges: 2"]
    assert prompt("arange -split-length 24 -ls") == [
        HEAP,
        "414000-42c000 (98304 B)",
        "42c000-434000 (32768 B)",
        "selected address ranges: 3",
    ]
    assert prompt("arange -min-length 16") == ["selected address ranges: 2"]
    assert "from 1 on" in prompt.wrong("arange -split-length 0")[0]


def test_pages_of_the_ranges_that_were_selected(prompt: Prompt) -> None:
    """In memtierd nothing uses what arange selects."""
    prompt("arange -pid 42 -min-length 20")

    assert prompt("pages -attrs present") == [
        "searching for address ranges of pid 42",
        "found 2 address ranges",
        "using 1 address ranges",
        "aranges = <1 address ranges of pid 42>",
        "pages = <12 pages of pid 42>",
    ]
    assert prompt("pages -ranges 400000-416000")[-1] == "pages = <2 pages of pid 42>"


def test_swap_status_and_addresses(prompt: Prompt) -> None:
    assert prompt("swap -pid 42 -status") == ["42 8 / 48 pages, 0 / 0 MB (16.7 %) swapped out"]
    assert prompt("swap -pid 42 -vaddrs -ranges 42a000+64M") == [
        "using 1 address ranges",
        "42a000-430000 (24576 B)",
        "42 6 / 10 pages, 0 / 0 MB (60.0 %) swapped out",
    ]


def test_a_process_that_is_in_swap_completely_keeps_its_ranges(prompt: Prompt) -> None:
    process = FakeProcess(prompt.kernel.root, 43).map(0, 512).swapped(0, 512)
    prompt.kernel.add(process)

    assert prompt("swap -pid 43 -status -vaddrs") == [
        "400000-600000 (2097152 B)",
        "43 512 / 512 pages, 2 / 2 MB (100.0 %) swapped out",
    ]
    assert prompt("pages -pid 43 -attrs Present")[-1] == "pages = <0 pages of pid 43>"


def test_swap_out_says_what_stays(prompt: Prompt) -> None:
    assert prompt("swap -pid 42 -out -status") == [
        "process 42: 2 pages (0.0 MB) stay: shared with others, locked, or in use just now",
        "42 22 / 48 pages, 0 / 0 MB (45.8 %) swapped out",
    ]
    assert prompt.kernel.advised == [(PID, 0, 16), (PID, 20, 52)]


def test_swap_that_is_full_is_an_error(prompt: Prompt) -> None:
    prompt.kernel.swap(8 << 20, used=8 << 20)
    prompt.kernel.effect = False

    assert prompt.wrong("swap -pid 42 -out -status") == [
        "42 8 / 48 pages, 0 / 0 MB (16.7 %) swapped out",
        "swap: process 42: 16 pages (0.1 MB) stay: swap is full",
    ]


def test_swap_in_reads_only_what_is_in_swap(prompt: Prompt) -> None:
    process = prompt.kernel.processes[PID]
    with open(process.folder / "mem", "wb") as file:
        file.truncate(BASE + 4096 * PAGE)

    assert prompt.wrong("swap -pid 42 -in -status") == [
        "42 8 / 48 pages, 0 / 0 MB (16.7 %) swapped out",
        "swap: process 42: 8 pages (0.0 MB) stay in swap: there is no memory for them, or they cannot be read",
    ]
    process.pages[40:48] = pagemap.PRESENT
    process.write()
    assert prompt("swap -pid 42 -in") == []


def test_swap_out_by_the_mover(prompt: Prompt) -> None:
    assert prompt("swap -pid 42 -out -mover") == []
    assert prompt("mover -tasks") == ["0        MoverTask{pid: 42, next: 400000, page: 0 out of 14, dest: [swap]}"]
    assert prompt.kernel.advised == []


def test_swap_of_cgroups(prompt: Prompt) -> None:
    prompt.kernel.add(FakeProcess(prompt.kernel.root, 43).map(0, 4).swapped(0, 1))
    for name, pids in (("pod1", "42\n"), ("pod1/inner", "43\n44\n"), ("other", "7\n")):
        folder = prompt.kernel.root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text(pids)

    assert prompt("swap -pid-cgroups /sys/fs/cgroup/pod*,/sys/fs/cgroup/none -status") == [
        "42 8 / 48 pages, 0 / 0 MB (16.7 %) swapped out",
        "43 1 / 4 pages, 0 / 0 MB (25.0 %) swapped out",
    ], "44 has gone meanwhile"
    assert "no cgroup is called" in prompt.wrong("swap -pid-cgroups /sys/fs/cgroup/none -status")[0]


def test_swap_of_several_goes_on_after_one_that_fails(prompt: Prompt) -> None:
    prompt.host.refused = {43: "it is the daemon's"}
    prompt.kernel.add(FakeProcess(prompt.kernel.root, 43).map(0, 4).present(0, 4))

    assert prompt.wrong("swap -pids 99,43,42 -out") == [
        "swap: [Errno 2] No such file or directory: '/proc/99/maps'",
        "swap: process 43 is left alone: it is the daemon's",
        "process 42: 2 pages (0.0 MB) stay: shared with others, locked, or in use just now",
        "swap: 2 of 3 processes could not be done",
    ]
    assert {pid for pid, _, _ in prompt.kernel.advised} == {42}


def test_swap_says_who_will_undo_it(prompt: Prompt) -> None:
    prompt.host.undoes = "the class pages it out again"

    assert prompt("swap -pid 42 -out")[-1] == "note: the class pages it out again"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("swap -pid 42", "swap: what shall be done? -in, -out, -status or -vaddrs"),
        ("swap -status", "swap: which processes? -pid PID"),
        ("swap -pids 1,x -status", '-pids: the text "x" is no number'),
        ("swap -pid 42 -ranges 1 -status", "swap: process 42: no address ranges from which to find pages"),
    ],
)
def test_what_swap_cannot_do(prompt: Prompt, line: str, said: str) -> None:
    assert any(said in each for each in prompt.wrong(line))


def test_no_swap_device_is_an_error(prompt: Prompt) -> None:
    prompt.kernel.swap(0)

    assert "no swap on this node" in prompt.wrong("swap -pid 42 -out")[0]
    assert prompt.kernel.advised == []
