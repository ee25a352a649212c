"""Configurations for tests."""

from typing import Any

import yaml

from reconciler.kubelet import flags
from reconciler.kubelet.configuration import LATEST, Sources, Text
from reconciler.kubelet.machine import Machine, MemoryNode

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
GIB = 1 << 30
TWO_NODES = Machine(
    nodes={number: MemoryNode(total_bytes=32 * GIB) for number in (0, 1)},
    capacity_bytes=64 * GIB,
    cpus=frozenset(range(8)),
)


def text(path: str = "config.yaml", **keys: Any) -> Text:
    return Text(path=path, text=HEAD + (yaml.safe_dump(keys, sort_keys=False) if keys else ""))


def reserved(*amounts: object) -> list[dict[str, Any]]:
    """Of node 0, 1, ..."""
    return [{"numaNode": node, "limits": {"memory": amount}} for node, amount in enumerate(amounts)]


def static(*amounts: object, **keys: Any) -> dict[str, Any]:
    found = {"memoryManagerPolicy": "Static", "topologyManagerPolicy": "best-effort", **keys}
    return {**found, "reservedMemory": reserved(*amounts)} if amounts else found


def sources(
    main: Text | None, *dropins: Text, line: str = "", version: tuple[int, int] = LATEST, directory: bool = False
) -> Sources:
    listed = dropins if dropins or directory else None
    return Sources(main=main, dropins=listed, flags=flags.parse(line), version=version)
