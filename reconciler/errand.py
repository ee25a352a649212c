"""A command that somebody wrote into a configuration: run as a child, within limits of time and output.

Below it stands a keeper (reconciler/children.py), which sees to it that nothing the command has started is left when it
ends, when we kill it, or when we end ourselves, however that happens (docs/adr/0011).
"""

import os
import selectors
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler import children

SECONDS = 60.0
MOST_OUTPUT = 256 * 1024  # bytes
_PATIENCE_S = 5.0  # for processes that were killed
_READ = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What came of a command."""

    status: int  # as a shell has it: 127 = there is no such program, 128 + number = killed by a signal
    output: str  # standard output and standard error as they came, the first part if there was much
    left_out: int = 0  # bytes of the output
    in_time: bool = True  # False: it was killed at its limit, or because nobody wants it any more


class Errand:
    """A command under way. One thread waits for it, any may kill it; nothing that it started outlives either of us."""

    def __init__(self, words: Sequence[str], feed: str = "", more: Mapping[str, str] | None = None) -> None:
        """Start it, with `feed` as its standard input and `more` in its environment; OSError if that cannot be."""
        theirs, self._lifeline = os.pipe()
        self._lock, self._held = threading.Lock(), True
        self._feed = feed.encode(errors="replace")
        try:
            self._process = children.kept(words, theirs, more or {}, fed=bool(feed))
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(theirs)

    def wait(self, limit: float = SECONDS, most: int = MOST_OUTPUT) -> Ended:
        """Until it has ended, or for `limit` seconds: then it is killed. At most `most` bytes of output are kept."""
        output = bytearray()
        with self._process:
            closed, size = self._pump(time.monotonic() + limit, output, most)
            in_time = closed and self._held
            self.kill()  # closes the lifeline in any case
            if not closed:
                size += self._pump(time.monotonic() + _PATIENCE_S, output, most)[1]
            status = children.end_of(self._process, _PATIENCE_S)
        text = output.decode(errors="replace")
        return Ended(status=status, output=text, left_out=size - len(output), in_time=in_time)

    def kill(self) -> None:
        """Let go of the lifeline: the keeper kills the command and all that it has started."""
        with self._lock:
            if self._held:
                self._held = False
                os.close(self._lifeline)

    def _pump(self, deadline: float, output: bytearray, most: int) -> tuple[bool, int]:
        """Feed and read until the output is closed (True) or the time is over; how many bytes came."""
        size = 0
        with selectors.DefaultSelector() as selector:
            for pipe, event in (
                (self._process.stdout, selectors.EVENT_READ),
                (self._process.stdin, selectors.EVENT_WRITE),
            ):
                if pipe is not None and not pipe.closed:
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, event)
            while (rest := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(rest):
                    if key.fileobj is self._process.stdin:
                        self._write(selector)
                        continue
                    data = os.read(key.fd, _READ)
                    if not data:
                        return True, size
                    size += len(data)
                    output += data[: max(most - len(output), 0)]
        return False, size

    def _write(self, selector: selectors.BaseSelector) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            self._feed = self._feed[os.write(pipe.fileno(), self._feed[:_READ]) :]
        except BrokenPipeError:  # it does not want more
            self._feed = b""
        if not self._feed:
            selector.unregister(pipe)
            pipe.close()
