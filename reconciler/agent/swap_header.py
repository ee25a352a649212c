"""The first page of a swap area, as mkswap(8) writes it (include/linux/swap.h, `union swap_header`): pure."""

import struct

SIGNATURE = b"SWAPSPACE2"
LABEL = "ebbtide"
LEAST_PAGES = 10  # of an area that the kernel takes
_BOOT = 1024  # bytes that are left to a boot loader


def page(page_size: int, pages: int, uuid: bytes, label: str = LABEL) -> bytes:
    """Of an area of that many pages, this one included; `uuid`: 16 bytes; at most 15 bytes of the label are kept."""
    if pages < LEAST_PAGES:
        raise ValueError(f"a swap area has {LEAST_PAGES} pages or more, not {pages}")
    version, bad_pages = 1, 0
    info = struct.pack("=III16s16s", version, pages - 1, bad_pages, uuid, label.encode()[:15])
    return (bytes(_BOOT) + info).ljust(page_size - len(SIGNATURE), b"\0") + SIGNATURE
