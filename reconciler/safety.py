"""Who is never managed unless an administrator names it: paging out these can stop the whole node.

A process is judged by the name of its program file and by its command name, either is enough. Annotations do not count:
whoever may annotate a pod must not be able to say what a process is. A process that takes one of these names only
loses the chance to be managed.
"""

from collections.abc import Collection

from reconciler.model import ProcessFacts

_COMM_LENGTH = 15  # the kernel cuts longer command names (TASK_COMM_LEN)

# Program names, and why waiting for their memory is not acceptable.
_NAMES = {
    "containerd": "container runtime: every container start, stop and probe waits for it",
    "dockerd": "container runtime: every container start and stop waits for it",
    "podman": "container runtime: every container start and stop waits for it",
    "crio": "container runtime: every container start, stop and probe waits for it",
    "conmon": "container monitor: holds a container's output and exit status",
    "conmonrs": "container monitor: holds a container's output and exit status",
    "runc": "container starter: lives for moments, inside the new container's cgroup",
    "crun": "container starter: lives for moments, inside the new container's cgroup",
    "youki": "container starter: lives for moments, inside the new container's cgroup",
    "kubelet": "node agent: a slow kubelet makes the node NotReady and evicts its pods",
    "ebbtide": "Ebbtide itself: it would wait for its own memory",
    "ebbtide-nri": "Ebbtide's plugin: every container start waits for it",
    "memtierd": "a memory manager: it would wait for its own memory",
    "init": "init system: everything depends on it",
    "(sd-pam)": "session keeper of systemd",
    "sshd": "the way in for whoever must repair the node",
}
_PREFIXES = {
    "containerd-shim": "container monitor: holds a container's output and exit status",
    "runc:[": "container starter: the process is not the container's program yet",
    "crun:[": "container starter: the process is not the container's program yet",
    "systemd": "init system and its services: everything depends on them",
    "dbus-": "message bus: the init system and the node's services talk through it",
}

# Last parts of cgroup paths. Their children are judged by themselves: a runtime without the systemd driver may put
# containers below its own service.
SERVICES = {
    "containerd.service": "container runtime, everything on the node waits for it",
    "docker.service": "container runtime, everything on the node waits for it",
    "crio.service": "container runtime, everything on the node waits for it",
    "cri-o.service": "container runtime, everything on the node waits for it",
    "kubelet.service": "node agent, everything on the node waits for it",
    "dbus.service": "message bus, everything on the node waits for it",
    "dbus-broker.service": "message bus, everything on the node waits for it",
    "systemd-journald.service": "the node's log, everything on the node waits for it",
    "systemd-udevd.service": "device manager, everything on the node waits for it",
    "ssh.service": "the way in for whoever must repair the node",
    "sshd.service": "the way in for whoever must repair the node",
}


def refusal(facts: ProcessFacts, own_pids: Collection[int]) -> str:
    """Why this process is left alone, "" if it may be managed."""
    if facts.pid == 1:
        return "process 1: everything depends on it"
    if facts.kernel_thread:
        return "kernel thread: it has no memory of its own"
    if facts.pid in own_pids:
        return "Ebbtide itself: it would wait for its own memory"
    names = (facts.exe.rpartition("/")[2], facts.comm)
    return next((reason for name in names if name and (reason := _reason(name))), "")


def _reason(name: str) -> str:
    for known, reason in _NAMES.items():
        if name in {known, known[:_COMM_LENGTH]}:
            return f"{name}: {reason}"
    return next((f"{name}: {reason}" for prefix, reason in _PREFIXES.items() if name.startswith(prefix)), "")


def cgroup_refusal(path: str, own_cgroup: str) -> str:
    """Why this cgroup is left alone, "" if it may be managed; paths are below the cgroup v2 mount."""
    parts = path.split("/")[1:]
    if not path.startswith("/") or {".", ".."} & set(parts) or ("" in parts and path != "/"):
        return f"{path!r} is no plain cgroup path such as /kubepods/pod1"
    if path == "/":
        return "the root cgroup: it is the whole node"
    if parts[0] == "init.scope":
        return "the cgroup of process 1: everything depends on it"
    if own_cgroup == path or own_cgroup.startswith(path + "/"):
        return "Ebbtide itself runs in it: limits here would hold for Ebbtide, too"
    if parts[-1] in SERVICES:
        return service_refusal(parts[-1])
    return ""


def service_refusal(name: str) -> str:
    return f"{name}: {SERVICES[name]}"
