"""memtierd's tables, its csv and its text, from figures."""

import csv

import pytest

from reconciler.engine import stats
from reconciler.engine.figures import Book, MoveRecord

PAGE = 4096
TEXT = """\
process_madvise on pid: 7
    calls: 2
    paged out: 512 pages (2 MB) of 1024 pages (4 MB)
    brought back: 256 pages (1 MB) of 256 pages (1 MB)
move_pages on pid: 13788
    calls: 2
    requested: 499712 pages (1952 MB)
    on target: 498848 pages (1948 MB)
        to node 0: 149664 pages (584 MB)
        to node 2: 349184 pages (1364 MB)
    errors: 864 pages (3 MB)
memory scans on pid: 13788
    scans: 8
    scan time: 1066 ms (133 ms/scan)
    scanned: 13633878 pages (1704234 pages/scan, 6657 MB/scan)
    accessed: 0 pages (0 pages/scan, 0 MB/scan)
    written: 3297476 pages (412184 pages/scan, 1610 MB/scan)"""
TABLES = """\
table: events
   count timeint[s] latest[s ago] name
       3   5.000000      2.000000 100 % of {what} %d, "quoted"
       1   0.000000      7.000000 scan

table: process_madvise syscalls
     pid    calls req[pages]  ok[pages]    ok[G] PAGEOUT[G]
       7        2       1280        768    0.003 0.004

table: move_pages syscalls
     pid    calls req[pages]  ok[pages] moved[G] targetnode:moved[G]
   13788        2     499712     498848    1.903 0:0.571;2:1.332

table: move_pages syscall errors in page statuses
     pid    pages  size[G]  errno error
   13788      800    0.003     13 Permission denied
   13788       64    0.000     16 Device or resource busy

table: memory scans
     pid    scans   tot[pages] avg[s]   last max[s]   avg[G]  last[G] a+w[%]  last
   13788        8     13633878  0.133  0.000  1.066    6.501    0.000   0.00  0.00"""


@pytest.fixture
def book() -> Book:
    """The example of memtierd's README, and one process that was paged out."""
    book = Book()
    figures = book.figures((13788, 1, ()), 0)
    figures.moved(MoveRecord(pid=13788, pages=149664, first=0x1000, to=0, result=0, on_other=0))
    figures.moved(
        MoveRecord(pid=13788, pages=350048, first=0x2000, to=2, result=864, on_other=3, errors={16: 64, 13: 800})
    )
    figures.scanned(13633878, 0, 1.066, 3297476)
    for _ in range(7):
        figures.scanned(0, 0, 0.0)
    other = book.figures((7, 1, ()), 0)
    other.paged_out(1024 * PAGE, 512 * PAGE)
    other.brought_back(256 * PAGE, 256 * PAGE)
    for when in (0, 5, 10):
        book.happened('100 % of {what} %d, "quoted"', when)
    book.happened("scan", 5)
    return book


def answer(book: Book, words: str) -> str:
    return stats.answer(words.split(), book, PAGE, 12)


def test_without_options_the_text_of_the_readme(book: Book) -> None:
    assert answer(book, "") == TEXT


def test_all_tables(book: Book) -> None:
    assert answer(book, "-f txt") == TABLES


def test_some_tables(book: Book) -> None:
    parts = TABLES.split("\n\n")

    assert answer(book, "-t move_pages,events") == f"{parts[2]}\n\n{parts[0]}"


def test_every_line_of_csv_has_as_many_fields_as_its_table(book: Book) -> None:
    for part in answer(book, "-f csv").split("\n\n"):
        lines = part.splitlines()
        assert lines[0].startswith("table: ")
        rows = list(csv.reader(lines[1:]))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_csv(book: Book) -> None:
    assert answer(book, "-t process_madvise -f csv") == (
        "table: process_madvise syscalls\n"
        "pid,calls,req[pages],ok[pages],ok[G],PAGEOUT[G]\n"
        "7,2,1280,768,0.002930,0.003906"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-t help", 'unknown table "help", available: "events", "process_madvise", "move_pages", "move_pages_errors"'),
        ("-f json", 'unknown format "json", available: "csv", "txt"'),
        ("-x 1", "'-x 1' is not understood: stats [-t TABLE"),
        ("-t", "'-t' is not understood"),
        ("-lm 99", "no move of pid 99"),
        ("-le 7", "no move with errors of pid 7"),
        ("-dump moves now", "'now' is not understood: stats -dump moves start|new|stop"),
    ],
)
def test_what_is_not_there(book: Book, words: str, said: str) -> None:
    assert said in answer(book, words)


def test_the_last_move_and_the_last_with_errors(book: Book) -> None:
    line = (
        "move_pages(pid=13788, pagecount=350048, firstpage=2000 dest=2) => "
        "(return=864 on_dest=349184 on_other=3 [errno:pagecount]=map[13:800 16:64])"
    )
    assert answer(book, "-le 13788") == line
    assert answer(book, "-lm 13788") == line


def test_moves_are_recorded_on_demand(book: Book) -> None:
    record = MoveRecord(pid=1, pages=1, first=0, to=0, result=0, on_other=0)
    book.record(record)
    answer(book, "-dump moves start")
    book.record(record)

    assert answer(book, "-dump moves new") == record.text()
    assert answer(book, "-dump moves new") == ""

    book.record(record)
    answer(book, "-dump moves stop")

    assert answer(book, "-dump moves new") == ""


def test_the_dead_are_forgotten_after_a_while(book: Book) -> None:
    book.prune({7}, 10)
    book.prune({7}, 500)

    assert set(book.all()) == {7, 13788}

    book.prune({7}, 700)

    assert set(book.all()) == {7}


def test_a_pid_that_is_somebody_else_now_begins_at_zero(book: Book) -> None:
    assert book.figures((7, 2, ()), 20).advices == 0
    assert book.figures((7, 2, ()), 21) is book.figures((7, 2, ()), 22)


def test_events_are_limited(book: Book) -> None:
    for number in range(1000):
        book.happened(f"error {number}", 100 + number)

    assert len(book.events()) == 256
    assert "error 999" in book.events()
