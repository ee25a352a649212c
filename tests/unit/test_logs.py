import logging
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


def test_people_get_times(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start({"ebbtide": logging.INFO}, {})

    logging.getLogger("ebbtide").info("event=x")

    assert capsys.readouterr().err.endswith(" level=INFO event=x\n")


def test_without_terminal_and_syslog_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "state" / "nri.log"
    logs.start_without_terminal({"ebbtide": logging.INFO}, str(path), syslog=str(tmp_path / "no-log"))

    logging.getLogger("ebbtide").info("event=x")

    assert path.read_text().endswith(" level=INFO event=x\n")
