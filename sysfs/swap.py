"""How much swap there is and where: /proc/swaps."""

from dataclasses import dataclass

from sysfs.errors import Gone
from sysfs.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    name: str
    kind: str  # partition | file
    size_bytes: int
    used_bytes: int
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    total_bytes: int = 0
    free_bytes: int = 0
    devices: tuple[Device, ...] = ()


def read(tree: Tree) -> Swap:
    """All zero where the kernel has no swap; sizes are those of /proc/swaps, so a device is never counted apart."""
    try:
        lines = tree.read("/proc/swaps").splitlines()[1:]
    except Gone:  # a kernel without CONFIG_SWAP
        return Swap()
    devices = tuple(_device(line) for line in lines if len(line.split()) >= 5)
    total = sum(device.size_bytes for device in devices)
    return Swap(
        total_bytes=total,
        free_bytes=total - sum(device.used_bytes for device in devices),
        devices=devices,
    )


def _device(line: str) -> Device:
    # From the right: a name may hold blanks, written as octal 040.
    name, kind, size, used, priority = line.rsplit(maxsplit=4)
    return Device(
        name=name.strip().replace("\\040", " "),
        kind=kind,
        size_bytes=int(size) * 1024,
        used_bytes=int(used) * 1024,
        priority=int(priority),
    )
