"""Finds and reads class files by the rules of systemd's drop-ins (systemd-system.conf(5), "Configuration Directories").

The same file name in a higher directory replaces the whole file; an empty one, or a link to /dev/null, masks it. What
is left is sorted by name, whatever its directory. Only `*.yaml` and `*.yml`: `*.conf` in /etc/nri/conf.d belongs to
the container runtime. Above all of them is what `ebbtide nri` was handed, by the runtime or with -config: it keeps that
in STATE/classes.d. Classes decide about other people's memory with root's power, so a file that others may change
is refused.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler.declarations import ClassText
from reconciler.documents import MOST_BYTES
from reconciler.model import Problem

__all__ = [
    "DEFAULT_DIRECTORIES",
    "ClassText",
    "Shadowed",
    "conf_lookalikes",
    "handed",
    "handed_folder",
    "installed",
    "read",
    "shadowed",
]

DEFAULT_DIRECTORIES = ("/etc/nri/conf.d", "/run/nri/conf.d", "/usr/local/lib/nri/conf.d", "/usr/lib/nri/conf.d")

_SUFFIXES = (".yaml", ".yml")
# Editors, package managers and Kubernetes (whose ConfigMap volumes keep the real files below ..data) leave these.
_IGNORED = re.compile(r"^\.|~$|\.dpkg-[a-z]+$|\.rpm(new|save|orig)$|\.ucf-[a-z]+$")
_OURS = re.compile(r"^\s*-?\s*(classes|memtierdconfig|allowswap|swaplimitratio|unifiedannotations)\s*:", re.MULTILINE)
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_HANDED, _NAMED = "handed to `ebbtide nri`", "given to `ebbtide nri` with -config"  # declarations.py knows the first
_BOOT = re.compile(rf"^# (?:{_HANDED}|{_NAMED}) on boot (\S*)\n\Z", re.MULTILINE)
_DANGLING = "a dangling link? to mask a file, link it to /dev/null"
_MISSING = f"is the path right? class files are installed in {DEFAULT_DIRECTORIES[0]}"
_MOST_LINKS = 40  # as the kernel's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """A file that does not count, and the one of the same name that takes its place or masks it."""

    path: str
    by: str
    masked: bool


def installed(state_dir: str | os.PathLike[str], directories: Sequence[str], boot_id: str) -> tuple[ClassText, ...]:
    """All that counts on this machine, in merge order: drop-ins, and above them what was handed to us on this boot."""
    own = read((handed_folder(state_dir),))
    return (*read(directories), *(text for text in own if _boot_of(text) in ("", boot_id)))


def handed_folder(state_dir: str | os.PathLike[str]) -> str:
    return os.path.join(state_dir, "classes.d")


def handed(text: str, boot_id: str, *, of_root: bool = False) -> str:
    """The text with the boot that it holds on; behind it, so that lines keep their numbers.

    `of_root`: it was read from a file that only root can have written, and not handed over by the runtime.
    """
    gap = "" if text.endswith("\n") else "\n"
    return f"{text}{gap}# {_NAMED if of_root else _HANDED} on boot {boot_id}\n"


def _boot_of(text: ClassText) -> str:
    found = _BOOT.search(text.text)
    return found[1] if found else ""


def read(directories: Sequence[str], named: Sequence[str] = ()) -> tuple[ClassText, ...]:
    """The class files in merge order: `directories` from the highest on, then `named` ones, which win over all."""
    candidates, unreadable = _candidates(directories)
    chosen = [paths[0] for _, paths in sorted(candidates.items())]
    texts = [_read(path) for path in chosen if not _masks(path)]
    # Removed since the folder was listed: no longer there is no problem. A dangling link is still there.
    there = [text for text in texts if text.problem is None or os.path.lexists(text.path)]
    return (*unreadable, *there, *(_read(path) for path in named))


def shadowed(directories: Sequence[str]) -> tuple[Shadowed, ...]:
    """What `read` leaves out, and why."""
    candidates, _ = _candidates(directories)
    return tuple(
        Shadowed(path=path, by=paths[0], masked=_masks(paths[0]))
        for _, paths in sorted(candidates.items())
        for path in paths[1:]
    )


def _candidates(directories: Sequence[str]) -> tuple[Mapping[str, list[str]], list[ClassText]]:
    """Paths by file name, the one that counts first; and directories that cannot be read."""
    found: dict[str, list[str]] = {}
    unreadable: list[ClassText] = []
    for directory in directories:
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            unreadable.append(_refused(directory, f"cannot be read: {error.strerror}", "is it a directory?"))
            continue
        for name in filter(_is_class_file, names):
            found.setdefault(name, []).append(os.path.join(directory, name))
    return found, unreadable


def conf_lookalikes(directories: Sequence[str]) -> tuple[str, ...]:
    """`*.conf` files with our keys in them: written for nri-plugins, or with the wrong ending. Nobody reads them."""
    return tuple(path for directory in directories for path in _conf_files(directory) if _looks_ours(path))


def _conf_files(directory: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    yield from (os.path.join(directory, name) for name in names if name.endswith(".conf") and name[0] != ".")


def _looks_ours(path: str) -> bool:
    try:
        with _opened(path) as descriptor:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return regular and _OURS.search(_data(descriptor).decode(errors="replace")) is not None
    except OSError:
        return False


def _is_class_file(name: str) -> bool:
    return name.endswith(_SUFFIXES) and not _IGNORED.search(name)


def _masks(path: str) -> bool:
    """Empty, or /dev/null by any number of links; made by somebody who may. Other doubtful files are told of later."""
    try:
        folder, link, seen = os.stat(os.path.dirname(path)), os.lstat(path), os.stat(path)
    except OSError:
        return False
    if not {folder.st_uid, link.st_uid} <= _trusted() or _others_may_write(os.path.dirname(path), folder):
        return False
    return seen.st_size == 0 if stat.S_ISREG(seen.st_mode) else os.path.realpath(path) == os.devnull


def _read(path: str) -> ClassText:
    try:
        with _opened(path) as descriptor:
            trouble = _distrust(path, os.fstat(descriptor))
            data = b"" if trouble else _data(descriptor)
    except FileNotFoundError:
        return _refused(path, "no such file", _DANGLING if os.path.islink(path) else _MISSING)
    except OSError as error:
        return _refused(path, f"cannot be read: {error.strerror}", "is it readable for the user who runs this?")
    if trouble:
        return _refused(path, *trouble)
    if len(data) > MOST_BYTES:
        return _refused(path, "larger than 1 MiB", "a configuration of this size is surely a mistake; split it")
    return _decoded(path, data)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    # Not blocking: a FIFO with a nice name must not stop the daemon.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _data(descriptor: int) -> bytes:
    """The content, one byte more than allowed at most."""
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(MOST_BYTES + 1)


def _decoded(path: str, data: bytes) -> ClassText:
    try:
        return ClassText(path=path, name=os.path.basename(path), text=data.decode("utf-8"))
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        said = f"not valid UTF-8: the byte 0x{data[error.start]:02x} cannot stand here"
        return _refused(path, said, "save the file as UTF-8", line, column)


def _distrust(path: str, seen: os.stat_result) -> tuple[str, str] | None:
    """Why this file must not decide anything, and what to do about it."""
    places = [(folder, os.stat(folder), "directory") for folder in _folders_on_the_way(path)]
    for place, status, kind in (*places, (path, seen, "file")):
        if status.st_uid not in _trusted():
            said = f"the {kind} {place} belongs to user {status.st_uid}, who could make this daemon do anything"
            return said, f"chown root {place}"
        if _others_may_write(place, status):
            return f"the {kind} {place} may be written by others than its owner", f"chmod go-w {place}"
    return None if stat.S_ISREG(seen.st_mode) else ("not a regular file", "replace it with one")


def _folders_on_the_way(path: str) -> Iterator[str]:
    """Every folder whose owner decides what this path leads to: of the file, of each link, and all above them."""
    seen: set[str] = set()
    for place in (*_links(path), os.path.realpath(path)):
        folder = os.path.dirname(os.path.abspath(place))
        while folder not in seen:
            seen.add(folder)
            yield folder
            folder = os.path.dirname(folder)


def _links(path: str) -> Iterator[str]:
    """The path, and where it leads link by link."""
    for _ in range(_MOST_LINKS):
        yield path
        if not os.path.islink(path):
            return
        path = os.path.join(os.path.dirname(path), os.readlink(path))


def _trusted() -> set[int]:
    return {0, os.geteuid()}


def _others_may_write(path: str, status: os.stat_result) -> bool:
    if not status.st_mode & _OTHERS_MAY_WRITE:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return stat.S_ISREG(status.st_mode)  # a device or FIFO is refused for being one
    if status.st_mode & stat.S_ISVTX:
        return False  # like /tmp: others may add files, which their owner gives away, but replace none
    # Kubernetes mounts a ConfigMap as a directory of mode 0777, read-only.
    return not os.statvfs(path).f_flag & os.ST_RDONLY


def _refused(path: str, message: str, hint: str, line: int = 0, column: int = 0) -> ClassText:
    problem = Problem(where=path, message=message, hint=hint, line=line, column=column)
    return ClassText(path=path, name=os.path.basename(path), problem=problem)
