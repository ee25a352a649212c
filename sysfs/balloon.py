"""A virtual machine's balloon, as the guest sees it: whether freed memory goes back to the host.

Free page reporting (Documentation/mm/free_page_reporting.rst) is bit 5 of the balloon's features in the virtio
specification; the kernel reports blocks of at least one order, which its parameter page_reporting_order shows once the
driver has registered (Linux 5.14), and which is the page block's order unless somebody set another.
"""

import re
from dataclasses import dataclass

from sysfs.errors import KernelError
from sysfs.tree import Tree

DEVICES = "/sys/bus/virtio/devices"
ORDER = "/sys/module/page_reporting/parameters/page_reporting_order"
_PAGE_TYPES = "/proc/pagetypeinfo"
_BALLOON, _REPORTING = 5, 5  # the device's id, and the feature's bit
_BLOCK = re.compile(r"^Page block order: +([0-9]+)$", re.MULTILINE)
_MOST_ORDER = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Balloon:
    device: str  # virtio0
    reports: bool  # free pages


def read(tree: Tree) -> Balloon | None:
    """The first balloon; None on a machine that has none."""
    try:
        names = sorted(tree.list(DEVICES))
    except KernelError:
        return None
    for name in names:
        if _text(tree, f"{DEVICES}/{name}/device").lower() in {f"0x{_BALLOON:04x}", str(_BALLOON)}:
            return Balloon(device=name, reports=_text(tree, f"{DEVICES}/{name}/features")[_REPORTING:][:1] == "1")
    return None


def order(tree: Tree) -> int | None:
    """Of the smallest block that is reported; None where it cannot be read."""
    text = _text(tree, ORDER)
    if text.isdigit() and int(text) <= _MOST_ORDER:
        return int(text)
    block = _BLOCK.search(_text(tree, _PAGE_TYPES))
    return int(block[1]) if block else None


def _text(tree: Tree, path: str) -> str:
    try:
        return tree.read(path).strip()
    except KernelError:
        return ""
