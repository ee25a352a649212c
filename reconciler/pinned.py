"""Pods whose memory the kubelet's Memory Manager has pinned to memory nodes (policy Static), from its state file.

They are Guaranteed and have paid for all of their memory, and whoever pins memory cannot wait for it: so the agent
takes nothing from them. The file is only ever read. Where it cannot be understood every Guaranteed pod may be pinned.
"""

import json
import re
from collections.abc import Iterator

from reconciler.agentconfig import Kept
from sysfs import cgroup
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

STATE = "/var/lib/kubelet/memory_manager_state"
# Where the kubelet puts Guaranteed pods, with systemd's cgroup driver and with its own; the last two are kind's.
_FOLDERS = (
    ("/kubepods.slice/kubepods-pod{}.slice", "_"),
    ("/kubepods/pod{}", "-"),
    ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{}.slice", "_"),
    ("/kubelet/kubepods/pod{}", "-"),
)
_UID = re.compile(r"[0-9A-Za-z-]{1,64}")


def pinned(tree: Tree, mount: str) -> tuple[Kept, ...]:
    """Their cgroups that are there now."""
    try:
        uids, why = _uids(tree.read(STATE)), "its memory is pinned by the kubelet (Memory Manager, policy Static)"
    except Gone:
        return ()
    except (KernelError, ValueError):
        uids, why = ["*"], f"{STATE} cannot be understood, so every Guaranteed pod may be pinned"
    found = {path for uid in uids for glob in _globs(uid) for path in cgroup.expand(tree, mount, glob)} if mount else ()
    return tuple(Kept(cgroup=path, reason=why) for path in sorted(found))


def _uids(text: str) -> list[str]:
    """ValueError for what no kubelet has written."""
    match json.loads(text):
        case {"policyName": "Static", "entries": dict(entries)} if all(map(_UID.fullmatch, entries)):
            return sorted(entries)
        case {"policyName": str(), **rest} if "entries" not in rest:  # of policy None, or without pods
            return []
        case _:
            raise ValueError("is no state of a Memory Manager")


def _globs(uid: str) -> Iterator[str]:
    for folder, joint in _FOLDERS:
        yield folder.format(uid.replace("-", joint))
