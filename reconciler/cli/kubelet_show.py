"""`ebbtide kubelet show`: memory and CPUs that the kubelet has pinned, and whether it would take them up again."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.cli import kubelet_check, options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.kubelet_check import Looked
from reconciler.cli.options import Options
from reconciler.cli.render import Column, Page
from reconciler.kubelet import reading, refusals, remembered, settings
from reconciler.kubelet.quantity import of_bytes
from reconciler.kubelet.refusals import Refusal
from reconciler.kubelet.remembered import CpuState, MemoryState
from sysfs.tree import Tree

_NODES = (
    Column(title="NODE", right=True),
    Column(title="TYPE"),
    Column(title="TOTAL", right=True),
    Column(title="SYSTEM", right=True),
    Column(title="ASSIGNED", right=True),
    Column(title="FREE", right=True),
)
_PINNED = (
    Column(title="POD", shrinks=True),
    Column(title="CONTAINER", shrinks=True),
    Column(title="NODES", right=True),
    Column(title="TYPE"),
    Column(title="SIZE", right=True),
)
_CPUS = (
    Column(title="POD", shrinks=True),
    Column(title="CONTAINER", shrinks=True),
    Column(title="CPUS"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is there of the two files; None where one is missing or cannot be read."""

    memory: MemoryState | None = None
    cpu: CpuState | None = None
    refused: Mapping[str, tuple[Refusal, ...]]  # path -> why


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    shown = look(args, common)
    if common.json:
        render.show_document(document(shown))
    else:
        render.show(lines(shown, render.page(color=common.color, legend=common.legend)))
    return Exit.FOUND if any(shown.refused.values()) else Exit.FINE


def look(args: argparse.Namespace, common: Options) -> Shown:
    looked = kubelet_check.look(args, common)
    tree = Tree(common.root)
    root_dir = looked.sources.flags.root_dir or reading.ROOT_DIR
    texts = {name: reading.state(tree, name, root_dir) for name in (reading.MEMORY_STATE, reading.CPU_STATE)}
    if not any(texts.values()):
        raise Failure(tree.path(root_dir), "has no state file of a kubelet", hint="it is made when a kubelet starts")
    memory, cpu = texts.values()
    paths = [tree.path(f"{root_dir}/{name}") for name in texts]
    judges = (refusals.of_memory, refusals.of_cpu)
    refused = {path: _refused(one, text, looked) for path, one, text in zip(paths, judges, texts.values(), strict=True)}
    return Shown(memory=_read(remembered.memory, memory), cpu=_read(remembered.cpu, cpu), refused=refused)


def _refused(judge: Callable[..., tuple[Refusal, ...]], text: str | None, looked: Looked) -> tuple[Refusal, ...]:
    return () if text is None else judge(text, looked.verdict.effective, looked.machine)


def _read(read: Callable[[str], Any], text: str | None) -> Any:
    try:
        return None if text is None else read(text)
    except ValueError:
        return None  # `refused` says why


# -- for people and programs -------------------------------------------------------------------------------------------


def lines(shown: Shown, page: Page) -> list[str]:
    result: list[str] = []
    if shown.memory is not None:
        result += [f"memory manager: {shown.memory.policy}", *_memory(shown.memory, page)]
    if shown.cpu is not None:
        shared = settings.cpu_list(shown.cpu.default)
        result += [f"CPU manager: {shown.cpu.policy}{f', shared CPUs {shared}' if shared else ''}"]
        rows = [(pod, name, settings.cpu_list(cpus)) for (pod, name), cpus in shown.cpu.entries.items()]
        result += render.table(page, _CPUS, rows) if rows else []
    for path, reasons in shown.refused.items():
        for one in reasons:
            result += [page.paint(f"{path}: a kubelet would refuse it: {one.reason}", render.RED)]
            result += [f"    kubelet: {one.kubelet}"] if one.kubelet else []
    if any(shown.refused.values()):
        hint = "drain the node, stop the kubelet, move the file away, start it again"
        result.append(f"    hint: {hint}; running containers keep their NUMA nodes, and new ones know nothing of them")
    return result


def _memory(state: MemoryState, page: Page) -> list[str]:
    nodes = [
        (str(number), kind, *(str(of_bytes(one)) for one in (t.total, t.system_reserved, t.reserved, t.free)))
        for number, node in sorted(state.nodes.items())
        for kind, t in sorted(node.tables.items())
    ]
    blocks = [
        (one.pod_uid, one.container, ",".join(map(str, one.nodes)), one.kind, str(of_bytes(one.size)))
        for one in state.blocks
    ]
    result = render.table(page, _NODES, nodes) if nodes else []
    return [*result, *(render.table(page, _PINNED, blocks) if blocks else [])]


def document(shown: Shown) -> dict[str, Any]:
    return {
        "version": 1,
        "memory": None if shown.memory is None else _memory_document(shown.memory),
        "cpu": None if shown.cpu is None else _cpu_document(shown.cpu),
        "refused": [{"path": path, **asdict(one)} for path, ones in shown.refused.items() for one in ones],
    }


def _memory_document(state: MemoryState) -> dict[str, Any]:
    nodes = [
        {"node": number, "assignments": node.assignments, "cells": node.cells, "types": _types(node.tables)}
        for number, node in sorted(state.nodes.items())
    ]
    return {
        "policy": state.policy,
        "checksum": state.sum,
        "nodes": nodes,
        "pinned": [
            {"pod": one.pod_uid, "container": one.container, "nodes": one.nodes, "type": one.kind, "bytes": one.size}
            for one in state.blocks
        ],
    }


def _types(tables: Mapping[str, remembered.Table]) -> list[dict[str, Any]]:
    return [
        {
            "type": kind,
            "totalBytes": one.total,
            "systemReservedBytes": one.system_reserved,
            "allocatableBytes": one.allocatable,
            "assignedBytes": one.reserved,
            "freeBytes": one.free,
        }
        for kind, one in sorted(tables.items())
    ]


def _cpu_document(state: CpuState) -> dict[str, Any]:
    pinned = [
        {"pod": pod, "container": name, "cpus": settings.cpu_list(cpus)} for (pod, name), cpus in state.entries.items()
    ]
    return {
        "policy": state.policy,
        "checksum": state.sum,
        "shared": settings.cpu_list(state.default),
        "pinned": pinned,
    }
