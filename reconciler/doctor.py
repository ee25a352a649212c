"""What this node allows, what is missing and how to get it, and who else turns the same knobs; changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler import agentdoctor, runtimes, tracking
from reconciler.agentdoctor import Verdict
from reconciler.model import Feature, Features, Knob, Problem, Severity
from reconciler.runtimes import Runtime
from sysfs import probe, process
from sysfs.damon_probe import Ours
from sysfs.errors import KernelError
from sysfs.tree import Tree

# Capability -> what cannot be done without it (for processes of other users).
CAPABILITIES = {
    "CAP_SYS_ADMIN": (21, "page frame numbers in pagemap (idle page tracking), map_files, MGLRU"),
    "CAP_SYS_PTRACE": (19, "pagemap, smaps and process_madvise of processes of other users"),
    "CAP_SYS_NICE": (23, "process_madvise on other processes: all page-out"),
    "CAP_DAC_READ_SEARCH": (2, "pagemap of processes of other users"),
    "CAP_DAC_OVERRIDE": (1, "clear_refs (trackers referenced and softdirty) of processes of other users"),
}
_PAGE_OUT = {
    "anonymous memory": ("process-madvise", "pagemap", "swap"),
    "file pages": ("process-madvise", "mincore"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    kernel: str
    live: bool  # False: a captured tree
    cgroup_mount: str
    features: tuple[Feature, ...]
    trackers: tuple[Verdict, ...]
    policies: tuple[Verdict, ...]
    agent: tuple[Verdict, ...]
    knobs: tuple[Verdict, ...]
    privileges: tuple[Verdict, ...]
    runtimes: tuple[Runtime, ...]
    problems: tuple[Problem, ...]  # most important first


def examine(tree: Tree, lookalikes: tuple[str, ...] = (), ours: Ours = probe.NOTHING_OURS) -> Diagnosis:
    """`lookalikes` are files beside the class files that look like ours but have names that are not read.

    `ours`: what is there because of a daemon of ours is not somebody else's.
    """
    features = probe.features(tree, ours)
    commands = _commands(tree)
    found = runtimes.examine(tree, frozenset(commands.values()))
    policies = tuple(_policies(features))
    problems = [
        *_impossible(features),
        *_runtime_problems(found),
        *_other_plugins(tree, found),
        *_rivals(commands),
        *_damon(features, commands),
        *agentdoctor.problems(tree),
        *_lookalike_problems(lookalikes),
    ]
    return Diagnosis(
        kernel=features.kernel,
        live=probe.is_live(tree),
        cgroup_mount=features.cgroup_mount,
        features=tuple(features.features.values()),
        trackers=tuple(_trackers(features)),
        policies=policies,
        agent=tuple(agentdoctor.verdicts(tree, features, live=probe.is_live(tree))),
        knobs=tuple(_knobs(features)),
        privileges=tuple(_privileges(tree)),
        runtimes=found,
        problems=tuple(sorted(problems, key=lambda problem: list(Severity).index(problem.severity))),
    )


def surroundings(tree: Tree) -> dict[str, str]:
    """What a capture needs beside /proc and /sys so that `examine` says the same there."""
    texts = runtimes.reduced(tree)
    for runtime in runtimes.examine(tree, frozenset(_commands(tree).values())):
        if tree.exists(runtime.socket):
            texts[runtime.socket] = ""
        texts.update({f"{runtime.plugin_path}/{name}": "" for name in _listed(tree, runtime.plugin_path)})
    return texts


# -- what works --------------------------------------------------------------------------------------------------------


def _trackers(features: Features) -> Iterator[Verdict]:
    for name in tracking.NEEDS:
        lacking = tracking.missing(name, features)
        detail = ", ".join(lacking)
        yield Verdict(name=name, works=not lacking, detail=f"missing: {detail}" if lacking else _CAVEATS[name])
    moving, measuring = tracking.best(features, moves=True), tracking.best(features, moves=False)
    detail = f"moves with {moving or 'nothing'}, measures with {measuring or 'nothing'}"
    yield Verdict(name="auto", works=bool(moving), detail=detail)


_CAVEATS = {
    "idlepage": "sees reads and writes, page by page",
    "damon": "sees reads and writes, region by region: hot pages that are scattered make all around them look hot",
    "softdirty": "sees writes only: memory that is only read looks idle",
    "referenced": "sees reads and writes, but one answer for each mapping (VMA), not for each page",
    "mglru": "sees how much memory is used, not where: it can only measure",
    "finder": "sees no accesses: for policies that treat all memory alike",
}


def _policies(features: Features) -> Iterator[Verdict]:
    measuring = tracking.best(features, moves=False)
    detail = f"tracker {measuring}" if measuring else "no tracker works"
    yield Verdict(name="age, measuring only", works=bool(measuring), detail=detail)
    for kind, needs in _PAGE_OUT.items():
        lacking = [name for name in needs if not features.works(name)]
        lacking += [] if tracking.best(features, moves=True) else ["a tracker"]
        name = f"age with swapoutms, {kind}"
        yield Verdict(name=name, works=not lacking, detail=f"missing: {', '.join(lacking)}" if lacking else "")


def _knobs(features: Features) -> Iterator[Verdict]:
    for knob in Knob:
        there = knob in features.knobs
        yield Verdict(name=knob, works=there, detail="" if there else "no such file in the cgroups here")


def _privileges(tree: Tree) -> Iterator[Verdict]:
    """Of this very process; a captured tree shows those of whoever made it."""
    try:
        lines = dict(line.split(":", 1) for line in tree.read("/proc/self/status").splitlines() if ":" in line)
    except KernelError:
        return
    uid = (lines.get("Uid", "").split() or ["?", "?"])[1]
    yield Verdict(
        name="root", works=uid == "0", detail="" if uid == "0" else f"uid {uid}: cgroup files cannot be written"
    )
    effective = int(lines.get("CapEff", "0"), 16)
    for name, (bit, use) in CAPABILITIES.items():
        yield Verdict(name=name, works=bool(effective & 1 << bit), detail=use)


# -- what is wrong -----------------------------------------------------------------------------------------------------


def _impossible(features: Features) -> Iterator[Problem]:
    if not tracking.best(features, moves=True):
        yield _problem(
            "trackers", "no tracker works here that may decide what to page out", _hint(features, "referenced")
        )
    if not features.works("process-madvise"):
        detail = features.features["process-madvise"].detail
        yield _problem("page-out", f"nothing can be paged out: {detail}", _hint(features, "process-madvise"))
    for name, effect in _EFFECTS.items():
        if not features.works(name):
            yield _problem(name, effect, _hint(features, name), Severity.WARNING)


_EFFECTS = {
    "cgroup2": "class keys (allowswap, memory) cannot be applied; only processes can be tracked and paged out",
    "swap": "there is no swap: only file pages can leave memory",
    "psi": "the brake on memory pressure cannot work",
}


def _hint(features: Features, name: str) -> str:
    return features.features[name].hint if name in features.features else ""


def _runtime_problems(found: tuple[Runtime, ...]) -> Iterator[Problem]:
    if not found:
        text = "neither containerd nor CRI-O found: only workloads of class files and hand-written records are managed"
        yield _problem("NRI", text, "", Severity.NOTE)
    for runtime in found:
        if runtime.nri != "on":
            lines = " / ".join(line.strip() for line in runtime.lines)
            hint = f"put this into {runtime.file}, then {runtime.then}: {lines}" if lines else runtime.then
            message = f"NRI is {'off' if runtime.nri == 'off' else 'perhaps off'}: {runtime.detail}"
            yield _problem(runtime.name, message, hint, Severity.WARNING)


def _other_plugins(tree: Tree, found: tuple[Runtime, ...]) -> Iterator[Problem]:
    for folder in sorted({runtimes.PLUGIN_PATH, *(runtime.plugin_path for runtime in found)}):
        for name in _listed(tree, folder):
            if "ebbtide" not in name:
                message = "another NRI plugin: if it sets a memory key that Ebbtide sets, the container is refused"
                hint = "let one of the two set it; `nri: adjust: false` leaves all keys to the daemon"
                yield _problem(f"{folder}/{name}", message, hint, Severity.WARNING)


# Command name (or how it begins) -> what it does to the same knobs.
_RIVALS = {
    "systemd-oomd": "kills whole cgroups when swap is nearly full (90 % by default) or under long memory pressure",
    "earlyoom": "kills processes when free memory and swap are low",
    "memtierd": "pages out by itself: two trackers spoil each other's figures",
    "nri-": "another NRI plugin: if it sets a memory key that Ebbtide sets, the container is refused",
    "senpai": "writes memory.high or memory.reclaim by itself",
    "damo": "uses DAMON, which only one can",
}
_RIVAL_HINTS = {
    "systemd-oomd": "keep engine: brakes: swapusedpercent below SwapUsedLimit= of oomd.conf",
    "earlyoom": "keep engine: brakes: swapusedpercent below its limits",
    "memtierd": "stop it where Ebbtide manages the same processes",
    "nri-": "let one of the two set it; `nri: adjust: false` leaves all keys to the daemon",
    "senpai": "stop it where Ebbtide manages the same cgroups",
    "damo": "stop it before DAMON is used by somebody else",
}


def _rivals(commands: dict[int, str]) -> Iterator[Problem]:
    for pid, command in commands.items():
        for name, effect in _RIVALS.items():
            if command == name or (name.endswith("-") and command.startswith(name)):
                yield _problem(f"process {pid} ({command})", effect, _RIVAL_HINTS[name], Severity.WARNING)


def _damon(features: Features, commands: dict[int, str]) -> Iterator[Problem]:
    """Who else uses DAMON. Its files are not read beyond the count: each read can make another user's access fail."""
    threads = sorted(command for command in commands.values() if command.startswith("kdamond."))
    feature = features.features["damon"]
    if not feature.works and (threads or "used by" in feature.detail):
        names = f" (threads {', '.join(threads)})" if threads else ""
        hint = "it is left alone; a tracker's kdamondslist names kdamonds, pausedamonstat DAMON_STAT, that we may use"
        yield _problem("DAMON", f"{feature.detail}{names}", hint, Severity.NOTE)


def _lookalike_problems(files: tuple[str, ...]) -> Iterator[Problem]:
    for file in files:
        message = "looks like a class file, but only *.yaml and *.yml are read"
        yield _problem(file, message, f"rename it to {file.rpartition('.')[0]}.yaml", Severity.WARNING)


def _commands(tree: Tree) -> dict[int, str]:
    """Command names of all processes by pid."""
    found: dict[int, str] = {}
    try:
        for pid in process.all_pids(tree):
            try:
                found[pid] = tree.read(f"/proc/{pid}/comm").strip()
            except KernelError:  # it has ended
                continue
    except KernelError:
        return {}
    return found


def _listed(tree: Tree, folder: str) -> tuple[str, ...]:
    try:
        return tuple(name for name in tree.list(folder) if not name.startswith("."))
    except KernelError:
        return ()


def _problem(where: str, message: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(where=where, message=message, hint=hint, severity=severity)
