"""swapoff(2) in a child: it may take minutes, and only a signal stops it. Then everything is as before.

Should we be killed, the kernel ends the child, too, and with it the swapoff.
"""

import os
import select
from pathlib import Path
from typing import Protocol

from reconciler import children
from sysfs import errors


class Leaving(Protocol):
    """A swap area that is being emptied."""

    def ended(self, seconds: float) -> bool:
        """Wait so long at most; whether it is over."""

    def kill(self) -> None:
        """Stop it; no effect once it is over."""

    def check(self) -> None:
        """After the end: raises what the kernel said, if the area is still there."""


class Swapoff:
    def __init__(self, path: str) -> None:
        self._path, self._killed = path, False
        self._child = children.python(["-m", "sysfs.swapping", path], Path(os.devnull))
        self._said: str | None = None

    def ended(self, seconds: float) -> bool:
        if self._said is None and select.select([self._child.output], [], [], seconds)[0]:
            self._listen()
        return self._said is not None

    def kill(self) -> None:
        """What it has said is read all the same: it may have been through just before."""
        if self._said is None:
            self._killed = True
            self._child.process.kill()
            self._listen()

    def check(self) -> None:
        match self._said:
            case "0":
                return
            case "" | None:
                what = "was stopped" if self._killed else "has ended without a word"
                raise errors.Busy(None, f"swapoff {what}, the area is in use as before", self._path)
            case code:
                raise errors.of(OSError(int(code), os.strerror(int(code))), f"{self._path} (swapoff)")

    def _listen(self) -> None:
        """To its end, which comes at once."""
        self._said = self._child.output.read().strip()
        self._child.end()
