"""What compaction decides by: what is free in each place, and in how small pieces."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.agent.compact_rules import Amount
from reconciler.agentconfig import CompactConfig
from sysfs import compaction, free_pages, meminfo, numa
from sysfs.tree import Tree

Place = int | None  # a memory node; None = all of them at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """`notes` are what one should know about the amounts."""

    amounts: Mapping[Place, Amount]
    notes: tuple[str, ...] = ()


def name(place: Place) -> str:
    return "all memory" if place is None else f"node {place}"


def look(tree: Tree, config: CompactConfig) -> Sight:
    """Raises `KernelError` where the kernel does not tell."""
    wanted, notes = places(tree, config)
    free = free_pages.read(tree)
    pages = free_pages.below(free.zones, config.compact_order)
    if free.why_all:
        notes = (*notes, f"fragments are counted of all free memory, not only movable: {free.why_all}")
    if not compaction.is_offered(tree):
        notes = (*notes, f"this kernel has no {compaction.WHOLE}: it compacts nothing on demand (CONFIG_COMPACTION)")
    if None in wanted:
        whole = sum(pages.values(), free_pages.Pages())
        return Sight(amounts={None: _amount(meminfo.read(tree).get("MemFree", 0), whole)}, notes=notes)
    amounts = {node.number: _amount(node.free_bytes, pages.get(node.number)) for node in numa.memory(tree)}
    return Sight(amounts={place: amounts[place] for place in wanted if place in amounts}, notes=notes)


def _amount(free_bytes: int, pages: free_pages.Pages | None) -> Amount:
    found = pages or free_pages.Pages()
    return Amount(free_bytes=free_bytes, fragments=found.number, at_least=found.at_least)


def places(tree: Tree, config: CompactConfig) -> tuple[list[Place], tuple[str, ...]]:
    if not config.per_node:
        return [None], ()
    if nodes := [node.number for node in numa.nodes(tree) if node.has_memory]:
        return list(nodes), ()
    return [None], ("per_node: this kernel shows no memory nodes, so all memory is one",)
