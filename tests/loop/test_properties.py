"""What must hold whatever happens: fixpoint, safety, convergence under faults, and nothing left behind."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfakefs.fake_filesystem_unittest import Patcher

from reconciler import agentwanted
from reconciler.agentconfig import AgentTask, CompactConfig, ReclaimConfig
from reconciler.model import MemoryClass, Workload
from tests.kernel.faults import Dies, Fails, Fault, FaultyTree, Killed
from tests.loop.node import Node, memory_class

CGROUPS = ("/system.slice/a", "/system.slice/b", "/system.slice/c")
CLASSES: dict[str, MemoryClass] = {
    "swapper": memory_class("swapper", memory_swap_max="max", memory_high="64M"),
    "tight": memory_class("tight", memory_high="50%", memory_low="4097"),
    "other": memory_class("other", memory_swap_max="0"),
    "probed": replace(memory_class("probed", memory_swap_max="max"), reclaim=ReclaimConfig()),
    "kept": replace(memory_class("kept", memory_swap_max="0"), reclaim_never=True),
}
NAMED = {"memory.swap.max", "memory.high", "memory.low"}
ORIGINALS = {"memory.high": "33554432", "memory.swap.max": "8192", "memory.low": "0"}

THROUGH_NRI = {"memory.high": "67108864", "memory.swap.max": "max"}
names = st.sampled_from(CGROUPS)
assign = st.tuples(st.just("assign"), names, st.sampled_from([*CLASSES, "", "unknown"]))
steps = st.one_of(
    assign,
    st.tuples(st.just("drop record"), names, st.just("")),
    st.tuples(st.just("cycle"), st.just(""), st.just("")),
    st.tuples(st.just("restart"), st.just(""), st.just("")),
    st.tuples(st.just("pause"), st.just(""), st.just("")),
    st.tuples(st.just("release"), names, st.just("")),
    st.tuples(st.just("blind"), st.just(""), st.just("")),
    st.tuples(st.just("section"), st.just(""), st.sampled_from(["on", "off"])),
    st.tuples(st.just("set"), st.just(""), st.sampled_from(["on", "off"])),
    st.tuples(st.just("unreadable"), st.just(""), st.just("")),
    st.tuples(st.just("release"), st.just("*"), st.just("")),
    st.tuples(st.just("rival"), names, st.sampled_from([*CLASSES, ""])),
)
disturbances = st.one_of(
    steps,
    st.tuples(st.just("foreign"), names, st.sampled_from(["max", "12288", "0"])),
    st.tuples(st.just("recreate"), names, st.just("")),
)
faults: st.SearchStrategy[Fault] = st.one_of(
    st.sampled_from([Fails(errno.EBUSY), Fails(errno.EIO), Fails(errno.EACCES), Dies(), Dies(after=True)])
)
fault_plans = st.dictionaries(st.integers(1, 12), faults, max_size=4)


@contextmanager
def a_node() -> Iterator[Node]:
    with Patcher() as patcher:
        assert patcher.fs is not None
        node = Node(patcher.fs, classes=dict(CLASSES))
        for path in CGROUPS:
            make(node, path)
        yield node


def make(node: Node, path: str) -> None:
    """The last one was created by a runtime that wrote our values into it (class `swapper`)."""
    node.kernel.cgroup(path, memory_high="32M", memory_swap_max="8192")
    if path == CGROUPS[-1]:
        for knob, value in THROUGH_NRI.items():
            node.kernel.set(path, knob, value)
        node.workloads[path] = container(path, "swapper")


def container(path: str, class_name: str) -> Workload:
    made = Workload(id=path, cgroup=path, class_name=class_name, memory_limit=1 << 30, named=True)
    if path != CGROUPS[-1]:
        return made
    return replace(made, adjusted=THROUGH_NRI, runtime_values={name: ORIGINALS[name] for name in THROUGH_NRI})


def drop(node: Node, path: str) -> None:
    """A live container's record stays as long as it lives."""
    if path != CGROUPS[-1]:
        node.workloads.pop(path, None)


def rival(node: Node, path: str, value: str) -> None:
    node.workloads["rival"] = Workload(id="rival", cgroup=path, class_name=value, memory_limit=1 << 30)


def recreate(node: Node, path: str) -> None:
    node.kernel.kill(path)
    make(node, path)


def step(node: Node, what: str, path: str, value: str) -> None:
    deeds: dict[str, Callable[[], object]] = {
        "assign": lambda: node.workloads.update({path: container(path, value)}),
        "rival": lambda: rival(node, path, value),
        "drop record": lambda: drop(node, path),
        "blind": lambda: setattr(node, "blind", not node.blind),
        "cycle": node.cycle,
        "restart": node.restart,
        "pause": lambda: setattr(node, "paused", not node.paused),
        "release": lambda: setattr(node, "released", node.released ^ {path}),
        "foreign": lambda: node.kernel.set(path, "memory.swap.max", value),
        "section": lambda: setattr(node, "compact", CompactConfig() if value == "on" else None),
        "set": lambda: node.set("compact", disabled=value == "off"),
        "unreadable": lambda: setattr(node, "uncertain", not node.uncertain),
        "recreate": lambda: recreate(node, path),
    }
    deeds[what]()


def live(node: Node, story: list[tuple[str, str, str]], plan: dict[int, Fault]) -> None:
    """Go through the story on a faulty kernel; a death is followed by a restart."""
    node.tree = FaultyTree(node.kernel.tree, plan)
    for one in story:
        try:
            step(node, *one)
        except Killed:
            node.restart()
    node.tree = None
    node.paused = node.blind = node.uncertain = False


@settings(max_examples=60, deadline=None)
@given(st.lists(disturbances, max_size=25), fault_plans)
def test_it_converges_to_a_fixpoint_and_writes_only_what_was_named(
    story: list[tuple[str, str, str]], plan: dict[int, Fault]
) -> None:
    with a_node() as node:
        live(node, story, plan)
        node.settle()

        wanted = node.desired()
        for key, one in wanted.workloads.items():
            if not node.released & {key, one.workload.cgroup, "*"}:
                shown = {knob: node.kernel.knob(one.workload.cgroup, knob) for knob in one.knobs}
                assert shown == dict(one.knobs)
        written = {(write.path.rpartition("/")[0], write.path.rpartition("/")[2]) for write in node.kernel.writes}
        assert {name for _, name in written} <= NAMED
        assert {path.removeprefix("/sys/fs/cgroup") for path, _ in written} <= set(CGROUPS)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25), fault_plans)
def test_afterwards_everything_is_as_it_was(story: list[tuple[str, str, str]], plan: dict[int, Fault]) -> None:
    with a_node() as node:
        live(node, story, plan)
        let_go(node)

        shown = {path: {knob: node.kernel.knob(path, knob) for knob in ORIGINALS} for path in CGROUPS}
        assert shown == dict.fromkeys(CGROUPS, ORIGINALS)
        assert node.baseline.entries == {}
        assert agentwanted.is_off(node.agent.task)


def let_go(node: Node) -> None:
    """No class applies any more; the runtime's container still runs, everything else has no record either."""
    node.classes.clear()
    node.compact, node.overrides = None, ()
    node.workloads = {path: one for path, one in node.workloads.items() if path == CGROUPS[-1]}
    node.settle()


A, B = CGROUPS[:2]
STORIES = {
    "class changed": [("assign", A, "swapper"), ("cycle", "", ""), ("assign", A, "tight"), ("cycle", "", "")],
    "value changed": [("assign", A, "swapper"), ("cycle", "", ""), ("assign", A, "other"), ("cycle", "", "")],
    "taken away": [("assign", A, "tight"), ("cycle", "", ""), ("drop record", A, ""), ("cycle", "", "")],
    "two workloads": [("assign", A, "swapper"), ("assign", B, "tight"), ("cycle", "", ""), ("cycle", "", "")],
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("effect", range(1, 7))
@pytest.mark.parametrize("story", STORIES)
def test_death_at_any_effect_can_be_undone(story: str, effect: int, after: bool) -> None:
    with a_node() as node:
        live(node, STORIES[story], {effect: Dies(after=after)})
        let_go(node)

        shown = {path: {knob: node.kernel.knob(path, knob) for knob in ORIGINALS} for path in CGROUPS}
        assert shown == dict.fromkeys(CGROUPS, ORIGINALS)


@settings(max_examples=60, deadline=None)
@given(st.lists(disturbances, max_size=25), fault_plans)
def test_the_agent_does_what_is_wanted_and_never_more(
    story: list[tuple[str, str, str]], plan: dict[int, Fault]
) -> None:
    with a_node() as node:
        live(node, story, plan)
        node.settle()

        wanted = node.desired().agent
        assert wanted is not None
        if "*" in node.released:
            assert agentwanted.is_off(node.agent.task)
            return
        assert agentwanted.same(node.agent.task, agentwanted.without(node.desired(), wanted, node.released))
        probed = {one.cgroup for one in node.agent.task.reclaims}
        assert probed <= {
            one.workload.cgroup for one in node.desired().workloads.values() if one.class_name == "probed"
        }
        assert not probed & ({one.cgroup for one in node.agent.task.kept} | node.released)


@settings(max_examples=60, deadline=None)
@given(st.lists(disturbances, max_size=25))
def test_the_agent_never_acts_while_paused_or_all_is_released(story: list[tuple[str, str, str]]) -> None:
    with a_node() as node:
        for one in story:
            acted = len(node.agent.acted)
            step(node, *one)
            if one[0] == "cycle" and node.paused:
                assert node.agent.acted[acted:] == []
                assert node.agent.task.observe or agentwanted.is_off(node.agent.task)
            elif one[0] == "cycle" and "*" in node.released and not node.uncertain:
                assert node.agent.acted[acted:] in ([], [AgentTask()])


@settings(max_examples=30, deadline=None)
@given(st.lists(disturbances, max_size=15))
def test_planning_is_a_function(story: list[tuple[str, str, str]]) -> None:
    with a_node() as node:
        live(node, story, {})

        assert node.plan() == node.plan()
