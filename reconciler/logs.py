"""Where log lines go: to standard error with journald's priorities, or with times for people; or to syslog."""

import faulthandler
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Mapping
from typing import TextIO

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_SYSLOG = "/dev/log"


class _Journal(logging.Formatter):
    """`<N>text`, as sd-daemon(3) describes; the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "\n".join(f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" for line in text.splitlines())


def start(levels: Mapping[str, int], environment: Mapping[str, str] = os.environ) -> None:
    """Send everything to standard error; `levels` by the logger's name."""
    handler = logging.StreamHandler(sys.stderr)
    people = logging.Formatter("%(asctime)s level=%(levelname)s %(message)s")
    handler.setFormatter(_Journal("%(message)s") if "JOURNAL_STREAM" in environment else people)
    _use(handler, levels)


def start_without_terminal(levels: Mapping[str, int], fallback: str, syslog: str = _SYSLOG) -> None:
    """For a process whose standard error leads nowhere: syslog, which is the journal nearly everywhere, else a file."""
    handler: logging.Handler
    if os.path.exists(syslog):  # the handler itself would not say that nobody listens
        handler = logging.handlers.SysLogHandler(syslog, logging.handlers.SysLogHandler.LOG_DAEMON)
        handler.setFormatter(logging.Formatter("ebbtide[%(process)d]: %(message)s"))
    else:
        os.makedirs(os.path.dirname(fallback), mode=0o700, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(fallback, maxBytes=1 << 20, backupCount=1, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s level=%(levelname)s %(message)s"))
    _use(handler, levels)


def show_stacks(file: int | TextIO = 2) -> None:
    """Every thread's stack when it crashes or the watchdog sends SIGABRT, and on SIGUSR1 without any harm."""
    faulthandler.enable(file)
    faulthandler.register(signal.SIGUSR1, file)


def _use(handler: logging.Handler, levels: Mapping[str, int]) -> None:
    logging.getLogger().handlers[:] = [handler]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
