"""Nothing that a file may hold makes the check itself fail, and what it accepts can be added up."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.kubelet import refusals, rules
from reconciler.kubelet.configuration import Sources, Text
from reconciler.kubelet.flags import parse_words
from tests.kubelet.texts import HEAD, TWO_NODES

WORDS = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1Gi",
        "1.5Gi",
        "5%",
        "-5%",
        "1e400%",
        "nan%",
        "0-3",
        "9-1",
        "Static",
        "static",
        "pods",
        "1s",
        "x" * 300,
    ]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 2**70), st.floats(), WORDS)
NAMES = st.sampled_from(
    [
        "memory",
        "cpu",
        "hugepages-2Mi",
        "memory.available",
        "numaNode",
        "limits",
        "total",
        "size",
        "numaAffinity",
        "0",
        "x",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "memoryManagerPolicy",
        "reservedMemory",
        "kubeReserved",
        "systemReserved",
        "evictionHard",
        "enforceNodeAllocatable",
        "reservedSystemCPUs",
        "cpuManagerPolicy",
        "cpuManagerPolicyOptions",
        "topologyManagerPolicy",
        "shutdownGracePeriod",
        "featureGates",
        "mergeDefaultEvictionSettings",
    ]
)
FILES = st.dictionaries(KEYS, VALUES, max_size=4)


def as_text(path: str, keys: dict[str, Any]) -> Text:
    """JSON is YAML; a configuration in it, with its head."""
    head = {"apiVersion": HEAD.split()[1], "kind": HEAD.split()[3]}
    return Text(path=path, text=json.dumps({**head, **keys}))


@settings(max_examples=300)
@given(FILES, FILES, st.lists(st.sampled_from(["--kube-reserved", "--reserved-memory=", "0:memory=1Gi", "-", "="])))
def test_any_files_and_flags(main: dict[str, Any], dropin: dict[str, Any], words: list[str]) -> None:
    sources = Sources(
        main=as_text("config.yaml", main),
        dropins=(as_text("a.conf", {**dropin, "memoryManagerPolicy": "Static"}),),
        flags=parse_words(words),
    )

    verdict = rules.check(sources, TWO_NODES)

    assert all(one.problem.message for one in verdict.findings)


STATES = st.dictionaries(
    st.sampled_from(["policyName", "machineState", "entries", "checksum", "data", "dataChecksum", "defaultCpuSet"]),
    VALUES,
)


@settings(max_examples=300)
@given(STATES)
def test_any_state_file(state: dict[str, Any]) -> None:
    effective = rules.check(Sources(main=as_text("c", {"memoryManagerPolicy": "Static"}))).effective

    for judge in (refusals.of_memory, refusals.of_cpu):
        assert all(one.reason for one in judge(json.dumps(state), effective, TWO_NODES))
