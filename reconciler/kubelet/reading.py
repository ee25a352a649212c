"""What a kubelet reads when it starts, read for it: configuration files, drop-ins, its command line, the machine."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.kubelet import configuration, flags
from reconciler.kubelet.configuration import Sources, Text
from reconciler.kubelet.flags import Flags
from reconciler.kubelet.machine import Machine, MemoryNode
from reconciler.kubelet.quantity import of_bytes
from sysfs import meminfo, numa, process
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

CONFIG = "/var/lib/kubelet/config.yaml"
ROOT_DIR = "/var/lib/kubelet"
_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
MEMORY_STATE, CPU_STATE = "memory_manager_state", "cpu_manager_state"
_STATE_FILES = (MEMORY_STATE, CPU_STATE)
_MOST_BYTES = 4 << 20


def sources(config: str, config_dir: str, given: Flags, version: tuple[int, int]) -> Sources:
    """The files at these places; OSError says which one cannot be read. An empty name: there is none."""
    return Sources(
        main=read(config) if config else None,
        dropins=dropins(config_dir) if config_dir else None,
        flags=given,
        version=version,
    )


def read(path: str) -> Text:
    with open(path, "rb") as file:
        return Text(path=path, text=file.read(_MOST_BYTES).decode("utf-8", "surrogateescape"))


def dropins(directory: str) -> tuple[Text, ...]:
    """In the order in which they are merged."""

    def fail(error: OSError) -> None:
        raise error

    names = [
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, files in os.walk(directory, onerror=fail)
        for name in files
    ]
    return tuple(read(os.path.join(directory, name)) for name in configuration.in_order(names))


def running_flags(tree: Tree) -> Flags | None:
    """Of the kubelet that runs; None if there is none."""
    for pid in process.all_pids(tree):
        with suppress(KernelError):
            if tree.read(f"/proc/{pid}/comm").strip() == "kubelet":
                return flags.parse_words(tree.read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")[1:])
    return None


def machine(tree: Tree) -> Machine | None:
    """None where a tree says nothing of its memory. Without NUMA a kubelet sees one node, 0, with all of it."""
    try:
        capacity = meminfo.read(tree).get("MemTotal", 0)
    except Gone:
        return None
    totals = {node.number: node.total_bytes for node in numa.memory(tree)}
    numbers = [node.number for node in numa.nodes(tree)]
    nodes = {number: _node(tree, number, totals.get(number, 0)) for number in numbers}
    return Machine(nodes=nodes or {0: MemoryNode(total_bytes=capacity)}, capacity_bytes=capacity, cpus=_cpus(tree))


def _node(tree: Tree, number: int, total: int) -> MemoryNode:
    pools = {f"hugepages-{of_bytes(size)}": amount for size, amount in numa.hugepages(tree, number).items()}
    return MemoryNode(total_bytes=total, hugepages=pools)


def _cpus(tree: Tree) -> frozenset[int]:
    try:
        return numa.parse_list(tree.read("/sys/devices/system/cpu/online"))
    except Gone:
        return frozenset()


def state(tree: Tree, name: str, root_dir: str = ROOT_DIR) -> str | None:
    """The text of a state file; None if there is none."""
    try:
        return tree.read(f"{root_dir}/{name}")
    except Gone:
        return None


def removing_units(root: str) -> Iterator[tuple[str, int]]:
    """Path and line of every unit file that removes a state file at each start of the kubelet."""
    for folder in _UNITS:
        base = Path(root.rstrip("/") + folder)
        for path in (base / "kubelet.service", *sorted((base / "kubelet.service.d").glob("*.conf"))):
            with suppress(OSError):
                lines = path.read_text(errors="replace").splitlines()
                yield from ((str(path), number) for number, line in enumerate(lines, 1) if _removes(line))


def _removes(line: str) -> bool:
    key, _, command = line.partition("=")
    return key.strip().startswith("Exec") and "rm" in command and any(name in command for name in _STATE_FILES)
