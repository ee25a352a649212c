"""Swap files on disk: where one may be, how it is made without holes, and how it goes.

A swap file holds the memory of every process of the node. So nobody but root may be able to read, replace or rename it:
each folder on the way to it is looked at, no link is followed, and all that is done then is done below the descriptor
of the folder that was looked at.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sysfs import errors, swapping

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 16 << 20


class Unfit(Exception):
    """No swap file may be there; says where, why, and what to do."""


class Unwanted(Exception):
    """While it was being made, it turned out that nobody wants it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """What we ask file systems; tests answer for the ones that they have not."""

    magic: Callable[[int], int] = swapping.magic
    reserve: Callable[[int, int], None] = swapping.reserve
    allocated: Callable[[int], int] = lambda descriptor: os.fstat(descriptor).st_blocks * 512
    stop_copying: Callable[[int], None] = swapping.stop_copying


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A folder in which swap files may be."""

    exists: bool  # False: the last part of its path is to be made
    room_bytes: int  # free, without what is reserved for root


def inspect(path: str, system: FileSystem) -> Spot:
    """Raises `Unfit`. The file system is judged first: where it is the wrong one, nothing else would help."""
    with _walked(path) as way:
        kind = system.magic(way.descriptor)
        if kind not in swapping.SWAPPABLE:
            good = ", ".join(swapping.SWAPPABLE.values())
            raise Unfit(
                f"{path} is on {swapping.file_system(kind)}, which cannot hold swap files: "
                f"set guest_swap_path to a folder on {good}"
            )
        for place, found in way.passed:
            _check(place, found, last=not way.rest and place == way.passed[-1][0])
        if len(way.rest) > 1:
            parent = os.path.dirname(path)
            raise Unfit(f"{parent} does not exist: make it, or set guest_swap_path to another folder")
        about = os.fstatvfs(way.descriptor)
        return Spot(exists=not way.rest, room_bytes=about.f_bavail * about.f_frsize)


def make_folder(path: str) -> None:
    with _walked(os.path.dirname(path)) as way, suppress(FileExistsError):
        os.mkdir(os.path.basename(path), 0o700, dir_fd=way.descriptor)


def make(path: str, size: int, header: bytes, system: FileSystem, wanted: Callable[[], bool]) -> None:
    """A file of that size, all of it on disk, that begins with `header`; `Unwanted` as soon as `wanted` says no."""
    with _walked(os.path.dirname(path)) as way:
        if way.rest:
            raise Unfit(f"{os.path.dirname(path)} is gone")
        descriptor = os.open(os.path.basename(path), _NEW, 0o600, dir_fd=way.descriptor)
        with open(descriptor, "r+b", buffering=0) as file:
            os.fchmod(descriptor, 0o600)
            if system.magic(descriptor) == swapping.BTRFS:
                system.stop_copying(descriptor)
            _fill(descriptor, size, system, wanted)
            file.seek(0)
            file.write(header)
            os.fsync(descriptor)


def remove(path: str) -> None:
    """One that is in use is refused by the kernel, and one that has gone is no error."""
    try:
        with _walked(os.path.dirname(path)) as way:
            if not way.rest:
                with suppress(FileNotFoundError):
                    os.unlink(os.path.basename(path), dir_fd=way.descriptor)
    except Unfit as error:
        raise errors.Busy(None, f"cannot be removed: {error}", path) from error


def remove_folder(path: str) -> None:
    """If nothing is in it."""
    with suppress(OSError):
        os.rmdir(path)


def _fill(descriptor: int, size: int, system: FileSystem, wanted: Callable[[], bool]) -> None:
    """fallocate(2) where there is one: the kernel takes extents that were never written.

    Else zeros, chunk by chunk, each on disk before the next: nobody's page cache is pushed out for them.
    """
    try:
        system.reserve(descriptor, size)
    except errors.Unsupported:
        zeros = bytes(_CHUNK)
        for at in range(0, size, _CHUNK):
            if not wanted():
                raise Unwanted from None
            _write_all(descriptor, memoryview(zeros)[: size - at], at)
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, at, _CHUNK, os.POSIX_FADV_DONTNEED)
    if system.allocated(descriptor) < size:
        raise OSError(errno.EINVAL, "the file system left holes in the file", "fallocate")


def _write_all(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, at)
        data, at = data[done:], at + done


# -- the way there -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """The deepest folder on the way that exists, open."""

    descriptor: int
    rest: tuple[str, ...]  # of the path, below it
    passed: tuple[tuple[str, os.stat_result], ...]  # all folders on the way, it and the root included


@contextmanager
def _walked(path: str) -> Iterator[_Way]:
    if not os.path.isabs(path):
        raise Unfit(f"{path!r} is not an absolute path")
    parts = tuple(part for part in path.split("/") if part)
    descriptor, place = os.open("/", _FOLDER), "/"
    passed = [(place, os.fstat(descriptor))]
    try:
        for part in parts:
            place = os.path.join(place, part)
            below = _enter(descriptor, part, place)
            if below is None:
                break
            os.close(descriptor)
            descriptor = below
            passed.append((place, os.fstat(descriptor)))
        yield _Way(descriptor=descriptor, rest=parts[len(passed) - 1 :], passed=tuple(passed))
    finally:
        os.close(descriptor)


def _enter(above: int, name: str, place: str) -> int | None:
    """The folder of that name, None if there is nothing."""
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        return None
    except OSError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise Unfit(f"{place} is a symbolic link: write the path that it leads to instead") from error
        raise Unfit(f"{place} is no folder that we can enter: {error.strerror}") from error


def _check(place: str, found: os.stat_result, *, last: bool) -> None:
    """It is root's, or ours, and nobody else can put anything else in the place of what is below it."""
    if found.st_uid not in {0, os.geteuid()}:
        raise Unfit(f"{place} belongs to user {found.st_uid}, not to root: chown root {place}, or use another folder")
    open_to_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    sticky = found.st_mode & stat.S_ISVTX  # only its owner may rename what is in it
    if open_to_others and (last or not sticky):
        mode = stat.S_IMODE(found.st_mode)
        raise Unfit(f"others may write to {place} (mode {mode:04o}): chmod go-w {place}, or use another folder")
