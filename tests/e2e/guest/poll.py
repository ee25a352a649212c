"""Wait for something to become true, on a machine of unknown speed: poll, with a generous limit, and say how long."""

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

Found = TypeVar("Found")


def until(what: str, look: Callable[[], Found | None], seconds: float = 120, pause: float = 1.0) -> Found:
    """What `look` returns as soon as that is true; fails with what it saw last."""
    begin = time.monotonic()
    while not (found := look()):
        if time.monotonic() - begin > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what} (last: {found!r})")
        time.sleep(pause)
    print(f"  {time.monotonic() - begin:6.1f} s  {what}", flush=True)
    return found


def never(what: str, look: Callable[[], Found], seconds: float, pause: float = 1.0) -> None:
    """Fails if `look` returns something true within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            raise AssertionError(f"{what}: {found!r}")
        time.sleep(pause)


def command(*words: str, ok: Sequence[int] = (0,)) -> str:
    """A program's standard output; its errors are part of the failure, or of what an expected failure says."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode not in ok:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + (done.stderr if done.returncode else "")
