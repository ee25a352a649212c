"""Checksums of the kubelet's state files: FNV-1a over the text that Go's spew prints of the structures in them.

The layouts are those of the kubelets that wrote the files; a field that was added later is there only in later ones.
"""

from collections.abc import Iterable, Mapping
from typing import Any

_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF
_MEMORY = "MemoryManagerCheckpoint"
_CPU = "CPUManagerCheckpoint"


def fnv(text: str) -> int:
    """32 bits."""
    found = _OFFSET
    for byte in text.encode("utf-8", "surrogatepass"):
        found = ((found ^ byte) * _PRIME) & _MASK
    return found


def of_data(data: str) -> int:
    """Of the `data` of newer files, which is one text."""
    return fnv(f"(string){data}")


def memory(state: Mapping[str, Any]) -> Iterable[int]:
    """All checksums that a memory_manager_state with these fields may have."""
    head = f"(*state.{_MEMORY}){{PolicyName:(string){state['policyName']} MachineState:(state.NUMANodeMap)"
    nodes = _map({int(key): one for key, one in state["machineState"].items()}, _node)
    entries = _map(state["entries"], lambda containers: _map(containers, _blocks))
    fields = f"{head}{nodes} Entries:(state.ContainerMemoryAssignments){entries}"
    pods = _map(state["podEntries"], lambda pod: f"{{MemoryBlocks:([]state.Block){_blocks(pod.get('memoryBlocks'))}}}")
    yield fnv(f"{fields} Checksum:(checksum.Checksum)0}}")
    yield fnv(f"{fields} PodEntries:(state.PodMemoryAssignments){pods} Checksum:(checksum.Checksum)0}}")


def cpu(state: Mapping[str, Any]) -> Iterable[int]:
    """All checksums that a cpu_manager_state with these fields may have."""
    flat = any(isinstance(one, str) for one in state["entries"].values())
    entries = _map(state["entries"], str if flat else lambda containers: _map(containers, str))
    kind = "map[string]string" if flat else "map[string]map[string]string"
    fields = f"PolicyName:(string){state['policyName']} DefaultCPUSet:(string){state['defaultCpuSet']}"
    fields = f"{fields} Entries:({kind}){entries}"
    pods = _map(state["podEntries"], _cpus)
    yield fnv(f"(*state.{_CPU}){{{fields} Checksum:(checksum.Checksum)0}}")
    for name in (_CPU, f"{_CPU}V3"):
        pod_entries = f"PodEntries:(state.PodCPUAssignments){pods}"
        yield fnv(f"(*state.{name}){{{fields} {pod_entries} Checksum:(checksum.Checksum)0}}")


def _map(found: Mapping[Any, Any] | None, show: Any) -> str:
    if found is None:
        return "<nil>"
    return f"map[{' '.join(f'{key}:{show(found[key])}' for key in sorted(found))}]"


def _list(found: Iterable[object] | None) -> str:
    return "<nil>" if found is None else f"[{' '.join(map(str, found))}]"


def _node(node: Mapping[str, Any]) -> str:
    tables = _map(node.get("memoryMap"), _table)
    assignments = f"NumberOfAssignments:(int){node.get('numberOfAssignments', 0)}"
    cells = _list(node.get("cells"))
    return f"<*>{{{assignments} MemoryMap:(map[v1.ResourceName]*state.MemoryTable){tables} Cells:([]int){cells}}}"


_FIELDS = {
    "total": "TotalMemSize",
    "systemReserved": "SystemReserved",
    "allocatable": "Allocatable",
    "reserved": "Reserved",
    "free": "Free",
}


def _table(table: Mapping[str, Any]) -> str:
    return f"<*>{{{' '.join(f'{name}:(uint64){table.get(key, 0)}' for key, name in _FIELDS.items())}}}"


def _blocks(blocks: list[Mapping[str, Any]] | None) -> str:
    return _list(None if blocks is None else [_block(block) for block in blocks])


def _block(block: Mapping[str, Any]) -> str:
    affinity = f"NUMAAffinity:([]int){_list(block.get('numaAffinity'))}"
    return f"{{{affinity} Type:(v1.ResourceName){block.get('type', '')} Size:(uint64){block.get('size', 0)}}}"


def _cpus(pod: Mapping[str, Any]) -> str:
    elements = " ".join(f"{number}:{{}}" for number in sorted(pod.get("cpuSet") or ()))
    return f"{{CPUSet:(cpuset.CPUSet){{elems:(map[int]struct {{}})map[{elements}]}}}}"
