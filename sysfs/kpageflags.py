"""What the kernel says of one page frame: /proc/kpageflags (Documentation/admin-guide/mm/pagemap.rst)."""

import os

from sysfs import errors
from sysfs.tree import Tree

PATH = "/proc/kpageflags"
# By bit, from 0 (include/uapi/linux/kernel-page-flags.h).
NAMES = (
    *("LOCKED", "ERROR", "REFERENCED", "UPTODATE", "DIRTY", "LRU", "ACTIVE", "SLAB", "WRITEBACK", "RECLAIM", "BUDDY"),
    *("MMAP", "ANON", "SWAPCACHE", "SWAPBACKED", "COMPOUND_HEAD", "COMPOUND_TAIL", "HUGE", "UNEVICTABLE", "HWPOISON"),
    *("NOPAGE", "KSM", "THP", "OFFLINE", "ZERO_PAGE", "IDLE", "PGTABLE"),
)


def flags(tree: Tree, frame: int) -> int:
    """The 64 flags of a page frame; `Gone` beyond the end of memory."""
    with tree.open(PATH) as file:
        try:
            data = os.pread(file.fileno(), 8, frame * 8)
        except OSError as error:
            raise errors.of(error, PATH) from error
    if len(data) < 8:
        raise errors.Gone(None, f"no page frame {frame} on this machine", PATH)
    return int.from_bytes(data, "little")


def named(value: int) -> tuple[tuple[str, int], ...]:
    """Each known flag as (name, 0 or 1)."""
    return tuple((name, value >> bit & 1) for bit, name in enumerate(NAMES))
