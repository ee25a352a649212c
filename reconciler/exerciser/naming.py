"""The name of this process, as pidof, ps and pgrep find it: both what the kernel calls it and its first word.

A script that the kernel starts by its `#!` line has the interpreter's words in front of its own. Writing over them is
what setproctitle does; there is no other way that works for a program that has been started already.
"""

import ctypes
from collections.abc import Sequence

_ARGUMENTS = slice(45, 47)  # fields 48 and 49 of /proc/PID/stat (proc_pid_stat(5)), counted behind the name


def become(name: str, words: Sequence[str]) -> None:
    """Be called NAME with these words, as far as there is room for them."""
    with open("/proc/self/comm", "w", encoding="utf-8") as file:
        file.write(name)
    start, end = argument_area()
    text = b"\0".join(word.encode(errors="surrogateescape") for word in (name, *words))
    room = end - start - 1  # the last byte stays 0, or the kernel reads on behind it
    ctypes.memmove(start, text.ljust(room, b"\0")[:room] + b"\0", room + 1)


def argument_area() -> tuple[int, int]:
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        start, end = file.read().rpartition(")")[2].split()[_ARGUMENTS]
    return int(start), int(end)
