"""Files that say which pages are of interest to the demote-idle policy: DIR/PID.vab, read again in every round.

A file holds pairs of little-endian 64-bit addresses, start and end. Its writer takes an exclusive lock (flock(2)) of
DIR/lock while it writes; we take a shared one while we read, and leave a round out rather than wait.

The files are a stranger's data: links are not followed, sizes are bounded, and nothing but ranges is taken from them.
"""

import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from reconciler.engine import regions
from reconciler.engine.regions import Addresses

LOCK = "lock"
PAIR_BYTES = 16
MOST_BYTES = 16 << 20  # of one file: a million ranges
MOST_FILES = 4096
_NAME = re.compile(r"([1-9][0-9]{0,8})\.vab")
_MOST_NAMED = 5
_TOP = np.uint64(1 << 56)  # above all user addresses, also with five levels of page tables
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # and do not wait for a fifo's writer

Ranges = tuple[Addresses, Addresses]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """By pid; who is not there has no page of interest."""

    ranges: Mapping[int, Ranges] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class _Ignored(Exception):
    """Why a file counts for nothing."""


def read(directory: str, page_size: int) -> Interest:
    """What the files say now; without the directory, or while they are written, nothing is of interest."""
    try:
        folder = os.open(directory, _READ | os.O_DIRECTORY)
    except OSError as error:
        return Interest(notes=(f"{directory}: {error.strerror}: no pages are of interest",))
    try:
        with _locked(folder):
            return _read_all(folder, directory, page_size)
    except BlockingIOError:
        return Interest(notes=(f"{directory}: is being written: this round is left out",))
    except OSError as error:
        return Interest(notes=(f"{directory}/{LOCK}: {error.strerror}: this round is left out",))
    finally:
        os.close(folder)


def pids(directory: str) -> frozenset[int]:
    """Whom files are about, by their names; nobody if there is no such directory (yet), which `read` notes."""
    try:
        return frozenset(int(name.removesuffix(".vab")) for name in _named(directory)[:MOST_FILES])
    except OSError:
        return frozenset()


def parse(data: bytes, page_size: int) -> Ranges:
    """Whole pages that the pairs touch, sorted and disjoint; pairs that are no range are left out."""
    start, end = np.frombuffer(data, "<u8").astype(np.uint64).reshape(-1, 2).T
    whole = (start < end) & (start < _TOP)
    size = np.uint64(page_size)
    low = start[whole] // size * size
    high = (np.minimum(end[whole], _TOP) + size - np.uint64(1)) // size * size
    return regions.merged(low, high)


@contextmanager
def _locked(folder: int) -> Iterator[None]:
    descriptor = os.open(LOCK, _READ | os.O_CREAT, 0o644, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _read_all(folder: int, directory: str, page_size: int) -> Interest:
    ranges, ignored = dict[int, Ranges](), list[str]()
    names = _named(folder)
    for name in names[:MOST_FILES]:
        try:
            ranges[int(name.removesuffix(".vab"))] = parse(_data(folder, name), page_size)
        except _Ignored as reason:
            ignored.append(f"{directory}/{name} {reason}: it is ignored")
    if len(names) > MOST_FILES:
        ignored.insert(0, f"{directory}: only {MOST_FILES} of {len(names)} files are read")
    more = [f"and {len(ignored) - _MOST_NAMED} more files are ignored"] if len(ignored) > _MOST_NAMED else []
    return Interest(ranges=ranges, notes=(*ignored[:_MOST_NAMED], *more))


def _named(folder: int | str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))


def _data(folder: int, name: str) -> bytes:
    try:
        data = _bytes(folder, name)
    except OSError as error:
        raise _Ignored(f"cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise _Ignored(f"is larger than {MOST_BYTES >> 20} MiB")
    if len(data) % PAIR_BYTES:
        raise _Ignored(f"has {len(data)} bytes, which is no multiple of {PAIR_BYTES}")
    return data


def _bytes(folder: int, name: str) -> bytes:
    """At most one more than a file may have."""
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _Ignored("is no regular file")
        return os.read(descriptor, MOST_BYTES + 1)
    finally:
        os.close(descriptor)
