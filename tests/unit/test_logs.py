import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Leave the logger of the test run as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_journal_gets_priorities_and_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start({"ebbtide": logging.INFO}, {"JOURNAL_STREAM": "1:2"})

    logging.getLogger("ebbtide.x").warning("event=%s", "two\nlines")
    logging.getLogger("ebbtide.x").debug("not this")

    assert capsys.readouterr().err == "<4>event=two\n<4>lines\n"


def test_a_reader_of_lines_that_hangs_delays_nobody() -> None:
    reads, lines = threading.Event(), list[str]()

    class Hanging(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert reads.wait(60)
            lines.append(record.getMessage())

    logging.getLogger().handlers[:] = [Hanging()]
    log = logging.getLogger("ebbtide.x")
    with logs.behind_a_queue():
        for number in range(logs._MOST_LINES + 100):
            log.warning("event=%s", number)
        reads.set()
        while len(lines) < logs._MOST_LINES:
            threading.Event().wait(0.01)
        log.warning("event=last")

    assert (lines[0], lines[-1]) == ("event=0", "event=last")
    assert lines[-2] in ("event=log-lines-lost count=100", "event=log-lines-lost count=99")  # one is with the reader


def test_people_get_times(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start({"ebbtide": logging.INFO}, {})

    logging.getLogger("ebbtide").info("event=x")

    assert capsys.readouterr().err.endswith(" level=INFO event=x\n")


def test_without_terminal_and_syslog_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "state" / "nri.log"
    logs.start_without_terminal({"ebbtide": logging.INFO}, str(path), syslog=str(tmp_path / "no-log"))

    logging.getLogger("ebbtide").info("event=x")

    assert path.read_text().endswith(" level=INFO event=x\n")
