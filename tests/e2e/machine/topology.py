"""NUMA nodes of a machine: how much memory each has, which CPUs, how far apart they are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    memory_mib: int
    cpus: str = ""  # "0", "0-1", "" = memory only


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    nodes: tuple[Node, ...]
    distances: tuple[tuple[int, int, int], ...] = ()  # (from, to, distance), both ways

    def memory_mib(self) -> int:
        return sum(node.memory_mib for node in self.nodes)

    def arguments(self) -> list[str]:
        """What QEMU is told."""
        found: list[str] = []
        for number, node in enumerate(self.nodes):
            cpus = f",cpus={node.cpus}" if node.cpus else ""
            found += ["-object", f"memory-backend-ram,id=m{number},size={node.memory_mib}M"]
            found += ["-numa", f"node,nodeid={number},memdev=m{number}{cpus}"]
        for source, target, distance in self.distances:
            found += ["-numa", f"dist,src={source},dst={target},val={distance}"]
            found += ["-numa", f"dist,src={target},dst={source},val={distance}"]
        return found


def parse(nodes: str, distances: str, cpus: int) -> Topology:
    """`2048:0-1,1024` (MiB[:CPUS] for each node) and `0-1=20` (distance from node 0 to 1, and back).

    Without any CPUs named, all belong to node 0; several ranges of one node are joined by `+`, as in `2048:0+2-3`.
    """
    parsed = tuple(node(text) for text in nodes.split(","))
    if not any(each.cpus for each in parsed):
        parsed = (Node(memory_mib=parsed[0].memory_mib, cpus=f"0-{cpus - 1}"), *parsed[1:])
    return Topology(nodes=parsed, distances=tuple(distance(text) for text in distances.split(",") if text))


def node(text: str) -> Node:
    memory, _, cpus = text.partition(":")
    if not memory.isdigit() or int(memory) == 0:
        raise ValueError(f"--numa: '{text}' is not MiB[:CPUS], as in 2048:0-1 or 1024")
    return Node(memory_mib=int(memory), cpus=cpus.replace("+", ",cpus="))


def distance(text: str) -> tuple[int, int, int]:
    pair, _, value = text.partition("=")
    source, _, target = pair.partition("-")
    if not (source.isdigit() and target.isdigit() and value.isdigit()):
        raise ValueError(f"--distances: '{text}' is not FROM-TO=DISTANCE, as in 0-1=20")
    return int(source), int(target), int(value)
