"""Killed at any effect: what is there is on record, nothing is lost, and the next daemon goes on or gives all back."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import state
from reconciler.agentconfig import AgentTask, SwapKind
from tests.agent.fake_swap import MIB, OFF, Node, settle, task
from tests.kernel.faults import Killed

CHANGES = ("mkdir", "unlink", "rmdir", "replace", "fsync", "fchmod", "pwrite")


class Mortal:
    """Dies at the n-th effect; a dead process has no more effects, whatever its handlers still try."""

    def __init__(self, node: Node, patch: pytest.MonkeyPatch, last: int) -> None:
        self.left, self.count, self.dead = last, 0, False
        node.effect = self.effect
        for name in CHANGES:
            patch.setattr(os, name, self._mortal(name, getattr(os, name)))
        patch.setattr(os, "open", self._opening(os.open))

    def effect(self, _what: str) -> None:
        self.count += 1
        self.dead = self.dead or self.count == self.left
        if self.dead:
            raise Killed(_what)

    def _mortal(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            self.effect(f"before {name}")
            done = real(*words, **more)
            self.effect(f"after {name}")
            return done

        return call

    def _opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *words: Any, **more: Any) -> int:
            if not flags & os.O_CREAT:
                return real(path, flags, *words, **more)
            self.effect("before creating")
            descriptor = real(path, flags, *words, **more)
            try:
                self.effect("after creating")
            except Killed:
                os.close(descriptor)
                raise
            return descriptor

        return call


def life(node: Node, kind: SwapKind) -> None:
    """An area is made, memory grows and so does swap, something is swapped out, and all goes."""
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=2.0, kind=kind, algorithm="zstd"))
    settle(node, agent, 60)
    node.memory *= 2
    settle(node, agent, 75)
    node.swap_out(15 * MIB)
    node.speed = 4 * MIB
    agent.change(OFF)
    settle(node, agent)


def killed(node: Node, kind: SwapKind, last: int) -> int:
    """How many effects there were."""
    with pytest.MonkeyPatch.context() as patch:
        mortal = Mortal(node, patch, last)
        try:
            life(node, kind)
        except Killed:
            for area in node.areas:
                area.leaving = False
        node.effect = lambda _: None
    return mortal.count


def everything_is_on_record(node: Node) -> None:
    path = node.state_dir / "swap.json"
    areas = json.loads(path.read_text())["areas"] if path.exists() else {"files": [], "zrams": [], "before": None}
    files = {os.path.basename(each["path"]) for each in areas["files"]}
    numbers = {each["number"] for each in areas["zrams"]}
    assert set(node.files()) <= files
    assert len(node.devices.keys() - numbers) <= (areas["before"] is not None)


KINDS = [SwapKind.FILE, SwapKind.ZRAM]


def fresh(tmp_path: Path, step: int) -> Node:
    root = tmp_path / str(step)
    root.mkdir(mode=0o700)
    return Node(root, memory=512 * MIB)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("reboots", [False, True], ids=["same boot", "reboot"])
def test_killed_at_any_effect(tmp_path: Path, kind: SwapKind, wanted: bool, reboots: bool) -> None:
    steps = killed(fresh(tmp_path, 0), kind, 0)
    assert steps > 60
    for step in range(1, steps + 1):
        node = fresh(tmp_path, step)
        killed(node, kind, step)
        everything_is_on_record(node)
        if reboots:
            node.reboot()
        state.sweep(node.state_dir)
        before = node.in_memory + node.swapped()
        again = node.agent()
        again.change(task(guest_swap_size_percent=2.0, kind=kind) if wanted else OFF)
        settle(node, again, 60)

        assert (again.report().state, node.accidents) == ("steady" if wanted else "off", []), step
        assert node.in_memory + node.swapped() == before, step
        everything_is_on_record(node)
        if wanted:
            assert len(node.areas) == len(node.files()) + len(node.devices) > 0, step
        else:
            assert (node.areas, node.devices, os.listdir(node.state_dir)) == ([], {}, []), step


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("memory"), st.integers(2, 12)),
        st.tuples(st.just("use"), st.integers(0, 100)),
        st.tuples(st.just("swap"), st.integers(0, 100)),
        st.tuples(st.just("percent"), st.sampled_from([None, 0, 5, 10, 25, 50])),
        st.tuples(st.just("kind"), st.sampled_from(KINDS)),
        st.tuples(st.just("grows"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 200])),
    ),
    max_size=25,
)


def apply(node: Node, name: str, value: Any) -> None:
    """What happens on the node, as far as it is possible there."""
    if name == "memory":
        node.memory = max(value * 32 * MIB, node.in_memory + MIB)
    elif name == "use":
        node.in_memory = node.memory * value // 101
    elif name == "swap":
        room = sum(area.size - area.used for area in node.areas)
        node.swap_out(min(room, node.in_memory) * value // 100)
    elif name == "grows":  # slowly enough for who looks once a second
        node.during_off = lambda: setattr(node, "in_memory", min(node.in_memory + value * MIB // 4, node.memory))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=OPS)
def test_whatever_happens_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory, ops: list[tuple[str, Any]]) -> None:
    node = Node(tmp_path_factory.mktemp("node", numbered=True), memory=256 * MIB)
    node.speed = 4 * MIB
    node.other_swap(32 * MIB)
    agent, percent, kind = node.agent(), 100, SwapKind.FILE
    for name, value in [("wait", 60), ("swap", 90), *ops]:
        apply(node, name, value)
        percent = value if name == "percent" else percent
        kind = value if name == "kind" else kind
        about: AgentTask = OFF if percent is None else task(guest_swap_size_percent=float(percent), kind=kind)
        agent.change(about)
        settle(node, agent, value if name == "wait" else 1)

    assert node.accidents == []
    assert {area.path for area in node.areas} >= {"/dev/vda5"}
    everything_is_on_record(node)
