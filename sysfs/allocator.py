"""How our own memory goes back to the kernel (mallopt(3)).

The C library learns from freed blocks to keep larger and larger ones. Ours are columns that live for a moment, several
times a minute: kept, they would double what the daemon costs.
"""

import contextlib
import ctypes

_M_MMAP_THRESHOLD, _BYTES = -3, 128 << 10  # the C library's own first threshold, fixed


def return_large_blocks() -> None:
    """From now on blocks of 128 KiB and more are the kernel's again as soon as they are freed."""
    with contextlib.suppress(AttributeError):  # another C library, which has its own ways
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BYTES)
