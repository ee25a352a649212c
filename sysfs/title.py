"""What `ps` and `pidof` show of this very process: its name, and the words that it was started with (proc(5)).

The kernel reads the words from the process's own memory, where exec put them; they are overwritten in place, and cut
where there is no more room. A script that is started by its #! line has its interpreter's words in front of its own.
`pidof` of Debian and Fedora looks at the first word, others look at the name.
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
        room = end - begin - 1  # the last byte stays 0, or the kernel reads on behind it
        if begin > 0 and room > 0:
            ctypes.memmove(begin, text[:room].ljust(room, b"\0") + b"\0", room + 1)
