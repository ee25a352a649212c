"""The drop-in that is rendered: exact sums on any machine, and a kubelet that starts with it."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kubelet import compute, rules
from reconciler.kubelet.configuration import Sources, Text
from reconciler.kubelet.machine import Machine, MemoryNode
from reconciler.kubeletconfig import KubeletConfig, Split
from reconciler.model import Severity
from tests.kubelet.texts import GIB, TWO_NODES, reserved, sources, static, text

MIB = 1 << 20
MAIN = text(kubeReserved={"memory": "16Gi"})


def wanted(split: Split = Split.EVEN, **keys: object) -> KubeletConfig:
    return KubeletConfig(policy="Static", split=split, weights={0: 3, 1: 1}, keys=keys)


def test_the_last_step_of_the_seed_is_computed() -> None:
    config = wanted(systemReserved={"memory": "4Gi"}, evictionHard={"memory.available": "512Mi"})

    rendered = compute.render(config, sources(MAIN), TWO_NODES)

    assert rendered.text == (
        "# Written by Ebbtide from `kubelet:` of its class files; see `ebbtide kubelet render`.\n"
        "apiVersion: kubelet.config.k8s.io/v1beta1\n"
        "kind: KubeletConfiguration\n"
        "memoryManagerPolicy: Static\n"
        "systemReserved:\n  memory: 4Gi\n"
        "evictionHard:\n  memory.available: 512Mi\n"
        "reservedMemory:\n"
        "- numaNode: 0\n  limits:\n    memory: 10496Mi\n"
        "- numaNode: 1\n  limits:\n    memory: 10496Mi\n"
    )


SHARES = [
    (Split.EVEN, {0: 8242 * MIB, 1: 8242 * MIB}),
    (Split.NODE0, {0: 16484 * MIB}),
    (Split.WEIGHTS, {0: 12363 * MIB, 1: 4121 * MIB}),
    (Split.PROPORTIONAL, {0: 8242 * MIB, 1: 8242 * MIB}),
]


@pytest.mark.parametrize(("split", "shares"), SHARES)
def test_ways_to_share(split: Split, shares: dict[int, int]) -> None:
    assert compute.render(wanted(split), sources(MAIN), TWO_NODES).shares == shares


def test_other_drop_ins_count_and_an_older_one_of_ours_does_not() -> None:
    other = text("50-x.conf", kubeReserved={"memory": "1Gi"})
    older = text(compute.NAME, reservedMemory=reserved("5Gi"), systemReserved={"memory": "9Gi"})

    rendered = compute.render(wanted(), sources(MAIN, other, older), TWO_NODES)

    assert rendered.shares == {0: 562 * MIB, 1: 562 * MIB}


def test_a_later_drop_in_that_wins_is_told_of() -> None:
    rendered = compute.render(wanted(), sources(MAIN, text("99-z.conf", reservedMemory=reserved("1Gi"))), TWO_NODES)

    assert rendered.text == ""
    assert [one.problem.where for one in rendered.findings if one.refuses] == ["99-z.conf"]


def test_a_node_cannot_give_more_than_it_has_beside_huge_pages() -> None:
    nodes = {
        0: MemoryNode(total_bytes=4 * GIB, hugepages={"hugepages-1Gi": 3 * GIB}),
        5: MemoryNode(total_bytes=9 * GIB),
    }
    machine = Machine(nodes=nodes, capacity_bytes=13 * GIB)
    config = wanted(systemReserved={"memory": "4Gi"})

    refused = compute.render(config, sources(None), machine)
    accepted = compute.render(wanted(Split.PROPORTIONAL, systemReserved={"memory": "4Gi"}), sources(None), machine)

    assert (refused.text, [one.problem.message for one in refused.findings]) == (
        "",
        ["NUMA node 0 would have to reserve 2098Mi, and has only 1Gi that is no huge pages"],
    )
    assert accepted.shares == {0: 419 * MIB, 5: 3777 * MIB}


def test_without_static_nothing_is_reserved_by_node() -> None:
    config = KubeletConfig(keys={"shutdownGracePeriod": "300s"})

    assert yaml.safe_load(compute.render(config, sources(MAIN), TWO_NODES).text) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "shutdownGracePeriod": "300s",
    }


def test_static_of_the_node_itself_is_enough() -> None:
    rendered = compute.render(KubeletConfig(), sources(text(**static("1Gi"))), TWO_NODES)

    assert rendered.shares == {0: 50 * MIB, 1: 50 * MIB}


MEMORY = st.integers(min_value=1, max_value=4 << 30).map(lambda kib: kib * 1024)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    numbers = draw(st.sets(st.integers(min_value=0, max_value=9), min_size=1, max_size=6))
    totals = {number: draw(MEMORY) for number in numbers}
    huge = {number: {"hugepages-2Mi": draw(st.integers(0, 3)) * total // 4} for number, total in totals.items()}
    nodes = {number: MemoryNode(total_bytes=total, hugepages=huge[number]) for number, total in totals.items()}
    return Machine(nodes=nodes, capacity_bytes=sum(totals.values()))


AMOUNTS = st.one_of(
    st.builds("{}{}".format, st.integers(0, 10**6), st.sampled_from(["Ki", "Mi", "k", "M", ""])),
    st.builds("{}.{}{}".format, st.integers(0, 99), st.integers(0, 999), st.sampled_from(["Gi", "Mi", "G"])),
)
THRESHOLDS = st.one_of(AMOUNTS, st.builds("{}.{}%".format, st.integers(0, 9), st.integers(0, 99)))


@given(machines(), st.sampled_from(Split), AMOUNTS, AMOUNTS, st.one_of(st.none(), THRESHOLDS), st.booleans())
def test_what_is_accepted_starts_a_kubelet_and_adds_up(
    machine: Machine, split: Split, kube: str, system: str, eviction: str | None, separate: bool
) -> None:
    keys = {"systemReserved": {"memory": system}}
    if eviction is not None:
        keys["evictionHard"] = {"memory.available": eviction}
    weights = {number: number + 1 for number in machine.nodes}
    config = KubeletConfig(policy="Static", split=split, weights=weights, keys=keys)
    main = text(kubeReserved={"memory": kube}) if separate else None

    rendered = compute.render(config, sources(main), machine)

    if not rendered.text:
        assert any(one.refuses for one in rendered.findings)
        return
    verdict = rules.check(Sources(main=main, dropins=(Text(path="90.conf", text=rendered.text),)), machine)
    assert verdict.starts
    assert not [one for one in verdict.findings if one.problem.pointer.startswith("/reservedMemory")]
    assert rendered.shares is not None
    assert verdict.required.total is not None
    assert sum(rendered.shares.values()) * 10**9 == verdict.required.total.nano
    assert all(one.problem.severity is not Severity.ERROR for one in verdict.findings)
