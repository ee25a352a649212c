"""What `ps` and `pidof` show of this very process: its name, and the words that it was started with (proc(5)).

The kernel reads the words from the process's own memory, where exec put them; they are overwritten in place, and no
longer than they were. `pidof` of Debian and Fedora looks at the first word, others look at the name.
"""

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress

from sysfs import process
from sysfs.errors import KernelError
from sysfs.tree import Tree

_ARGUMENTS = 47, 48  # fields of /proc/PID/stat, counted from 0: where the words begin and end


def show(words: Sequence[str]) -> None:
    """Be called as if started with these words; the first, at most 15 bytes of it, is the name, too."""
    process.name_ourselves(words[0])
    with suppress(KernelError, ValueError, IndexError):
        tail = Tree().read("/proc/self/stat").rpartition(")")[2].split()
        begin, end = (int(tail[field - 2]) for field in _ARGUMENTS)
        text = b"".join(os.fsencode(word) + b"\0" for word in words)
        if 0 < begin < end and len(text) <= end - begin:
            ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)
