"""Where log lines go: to standard error with journald's priorities, or with times for people; or to syslog."""

import faulthandler
import logging
import logging.handlers
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_SYSLOG = "/dev/log"
_MOST_LINES = 10_000  # that wait to be written
_FLUSH_SECONDS = 2.0


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
    """Every thread's stack when it crashes or the watchdog sends SIGABRT, and on SIGUSR1 without any harm.

    Not faulthandler.register(): that walks the other threads' frames while they run, and has crashed the daemon. A
    handler in Python holds the interpreter's lock; it waits until the main thread runs Python again.
    """
    faulthandler.enable(file)
    signal.signal(signal.SIGUSR1, lambda *_: faulthandler.dump_traceback(file, all_threads=True))


@contextmanager
def behind_a_queue() -> Iterator[None]:
    """Until the end of this no log line waits for a disk, a terminal or the journal: a thread writes them."""
    root = logging.getLogger()
    handlers, lines = root.handlers[:], queue.Queue[logging.LogRecord](_MOST_LINES)
    listener = logging.handlers.QueueListener(lines, *handlers)
    listener.start()
    root.handlers[:] = [_Queued(lines)]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        ending = threading.Thread(target=listener.stop, daemon=True)
        ending.start()
        ending.join(_FLUSH_SECONDS)


class _Queued(logging.handlers.QueueHandler):
    """What does not fit is lost, and counted."""

    lost = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self.lost:
                self.queue.put_nowait(_lost(self.lost))
                self.lost = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self.lost += 1


def _lost(count: int) -> logging.LogRecord:
    facts = {"levelno": logging.WARNING, "levelname": "WARNING", "msg": f"event=log-lines-lost count={count}"}
    return logging.makeLogRecord(facts)


def _use(handler: logging.Handler, levels: Mapping[str, int]) -> None:
    logging.getLogger().handlers[:] = [handler]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
