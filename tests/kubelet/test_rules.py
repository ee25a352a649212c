"""Whether a kubelet would start: each rule with the kubelet's own words, as tables."""

from typing import Any

import pytest

from reconciler.kubelet import rules
from reconciler.kubelet.configuration import Text
from reconciler.kubelet.rules import Verdict
from reconciler.model import Severity
from tests.kubelet.texts import GIB, HEAD, TWO_NODES, reserved, sources, static, text

INVALID = "invalid configuration: "
ENFORCE = "enforceNodeAllocatable (--enforce-node-allocatable)"


def checked(**keys: Any) -> Verdict:
    return rules.check(sources(text(**keys)), TWO_NODES)


def words(verdict: Verdict) -> list[str]:
    return [finding.kubelet for finding in verdict.findings if finding.refuses]


def said(verdict: Verdict, severity: Severity) -> list[str]:
    return [one.problem.pointer for one in verdict.findings if one.problem.severity is severity]


def unequal(total: str, required: str, kind: str = "memory") -> str:
    found = f'the total amount "{total}" of type "{kind}" is not equal to the value "{required}"'
    return f"{found} determined by Node Allocatable feature"


STARTS = [
    static("16484Mi", kubeReserved={"memory": "16Gi"}),
    static("8804Mi", "8804Mi", kubeReserved={"memory": "16Gi"}, systemReserved={"memory": "1Gi"})
    | {"evictionHard": {"memory.available": "200Mi"}},
    static("10496Mi", "10496Mi", kubeReserved={"memory": "16Gi"}, systemReserved={"memory": "4Gi"})
    | {"evictionHard": {"memory.available": "512Mi"}, "shutdownGracePeriod": "300s"}
    | {"shutdownGracePeriodCriticalPods": "100s", "topologyManagerScope": "pod", "cpuManagerPolicy": "none"},
    static("3Gi", "2148Mi", kubeReserved={"memory": "4Gi"}, systemReserved={"memory": "1Gi"}),
    static("4Gi", systemReserved={"memory": "4Gi"}, evictionHard={"nodefs.available": "10%"}),
    static("4Gi", systemReserved={"memory": "4Gi"}, evictionHard={"memory.available": "0%"}),
    static(104857600),
    static("100Mi", cpuManagerPolicy="static", reservedSystemCPUs="0,7"),
    static("100Mi", cpuManagerPolicy="static", kubeReserved={"cpu": "500m"}),
    {},
    {"memoryManagerPolicy": "None", "reservedMemory": reserved("5Gi")},
]


@pytest.mark.parametrize("keys", STARTS)
def test_configurations_with_which_a_kubelet_starts(keys: dict[str, Any]) -> None:
    assert words(checked(**keys)) == []


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (static(kubeReserved={"memory": "16Gi"}), "/reservedMemory", unequal("0", "16484Mi")),
    (static("16548Mi", kubeReserved={"memory": "16Gi"}), "/reservedMemory", unequal("16548Mi", "16484Mi")),
    (static("1500m"), "/reservedMemory", unequal("1500m", "100Mi")),
    (
        static("4196Mi", systemReserved={"memory": "4Gi"}, evictionHard={"nodefs.available": "10%"}),
        "/reservedMemory",
        unequal("4196Mi", "4Gi"),
    ),
    (
        static(evictionHard={"nodefs.available": "10%"}),
        "/reservedMemory",
        "[memorymanager] you should specify the system reserved memory",
    ),
    (
        static("1.5Gi", systemReserved={"memory": "1436Mi"}),
        "/reservedMemory/0/limits/memory",
        "could not covert a variable of type Quantity to int64",
    ),
    (
        static("0", "100Mi"),
        "/reservedMemory/0/limits/memory",
        f'{INVALID}reserved memory may not be zero for NUMA node 0 and resource "memory"',
    ),
    (
        static() | {"reservedMemory": reserved("50Mi") + reserved("50Mi")},
        "/reservedMemory/1/limits/memory",
        f'{INVALID}the reserved memory has a duplicate value for NUMA node 0 and resource "memory"',
    ),
    (
        static() | {"reservedMemory": [{"numaNode": 0, "limits": {"memory": "100Mi", "cpu": "1"}}]},
        "/reservedMemory/0/limits/cpu",
        (
            f'{INVALID}the limit type "cpu" for NUMA node 0 is not supported, only [memory hugepages-<HugePageSize>] '
            "is accepted"
        ),
    ),
    (
        static() | {"reservedMemory": [{"numaNode": 0, "limits": {"memory": "100Mi", "hugepages-1Gi": "2Gi"}}]},
        "/reservedMemory/0/limits/hugepages-1Gi",
        unequal("2Gi", "0", "hugepages-1Gi"),
    ),
    (
        static() | {"reservedMemory": [{"numaNode": 7, "limits": {"memory": "100Mi"}}]},
        "/reservedMemory/0/limits/memory",
        "the reserved memory configuration references a NUMA node 7 that does not exist on this machine",
    ),
    ({"memoryManagerPolicy": "static"}, "/memoryManagerPolicy", 'unknown policy: "static"'),
    (
        {"memoryManagerPolicy": "BestEffort"},
        "/memoryManagerPolicy",
        'policy "BestEffort" is not available for platform "linux"',
    ),
    ({"cpuManagerPolicy": "Static"}, "/cpuManagerPolicy", 'unknown policy: "Static"'),
    (
        {"cpuManagerPolicy": "static"},
        "/cpuManagerPolicy",
        "[cpumanager] unable to determine reserved CPU resources for static policy",
    ),
    (
        {"cpuManagerPolicy": "static", "kubeReserved": {"cpu": "0"}},
        "/cpuManagerPolicy",
        "[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero",
    ),
    (
        {"kubeReserved": {"hugepages-2Mi": "1Gi"}},
        "/kubeReserved/hugepages-2Mi",
        '--kube-reserved value failed to parse: cannot reserve "hugepages-2Mi" resource',
    ),
    (
        {"systemReserved": {"memory": "-1Gi"}},
        "/systemReserved/memory",
        '--system-reserved value failed to parse: resource quantity for "memory" cannot be negative: -1Gi',
    ),
    (
        {"kubeReserved": {"memory": "1K"}},
        "/kubeReserved/memory",
        (
            '--kube-reserved value failed to parse: failed to parse quantity "1K" for "memory" resource: '
            "unable to parse quantity's suffix"
        ),
    ),
    (
        {"kubeReserved": {"memory": "65Gi"}},
        "/kubeReserved",
        'invalid Node Allocatable configuration. Resource "memory" has an allocatable of -1124Mi, capacity of 64Gi',
    ),
    (
        {"evictionHard": {"memory.free": "1Gi"}},
        "/evictionHard/memory.free",
        "unsupported eviction signal memory.free",
    ),
    (
        {"evictionHard": {"memory.available": "101%"}},
        "/evictionHard/memory.available",
        "eviction percentage threshold memory.available must be <= 100%: 101%",
    ),
    (
        {"topologyManagerPolicy": "Restricted"},
        "/topologyManagerPolicy",
        (
            f'{INVALID}topologyManagerPolicy (--topology-manager-policy) "Restricted" must be one of: '
            '["none" "best-effort" "restricted" "single-numa-node"]'
        ),
    ),
    (
        {"topologyManagerScope": "node"},
        "/topologyManagerScope",
        f'{INVALID}topologyManagerScope (--topology-manager-scope) "node" must be one of: "container", or "pod"',
    ),
    (
        {"shutdownGracePeriod": "60s", "shutdownGracePeriodCriticalPods": "1m40s"},
        "/shutdownGracePeriodCriticalPods",
        f"{INVALID}shutdownGracePeriodCriticalPods {{1m40s}} must be <= shutdownGracePeriod {{1m0s}}",
    ),
    (
        {"shutdownGracePeriod": "500ms"},
        "/shutdownGracePeriod",
        f"{INVALID}shutdownGracePeriod {{0.5s}} must be either zero or otherwise >= 1 sec",
    ),
    ({"shutdownGracePeriod": "300"}, "/shutdownGracePeriod", 'time: invalid duration "300"'),
    (
        {"enforceNodeAllocatable": ["pods", "kube-reserved"]},
        "/enforceNodeAllocatable/1",
        (
            f"{INVALID}kubeReservedCgroup (--kube-reserved-cgroup) must be specified when "
            f'"kube-reserved" or "kube-reserved-compressible" included in {ENFORCE}'
        ),
    ),
    (
        {"enforceNodeAllocatable": ["none", "pods"]},
        "/enforceNodeAllocatable/0",
        f'{INVALID}{ENFORCE} may not contain additional enforcements when "none" is specified',
    ),
    (
        {"enforceNodeAllocatable": ["pods", "pods"]},
        "/enforceNodeAllocatable/1",
        f'{INVALID}duplicated enforcements "pods" in {ENFORCE}',
    ),
    (
        {"reservedSystemCPUs": "0-1", "systemReservedCgroup": "/system.slice"},
        "/reservedSystemCPUs",
        (
            f"{INVALID}can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup "
            "(--system-reserved-cgroup) or kubeReservedCgroup (--kube-reserved-cgroup)"
        ),
    ),
    (
        {"reservedSystemCPUs": "7-9"},
        "/reservedSystemCPUs",
        "reserved-cpus: 7-9 is not a subset of online-cpus: 0-7",
    ),
    (
        {"kubeReserved": {"memory": 1024}},
        "/kubeReserved/memory",
        "json: cannot unmarshal number into Go struct field KubeletConfiguration.kubeReserved",
    ),
    (
        static("1GB", evictionHard={}),
        "/reservedMemory/0/limits/memory",
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ),
]


@pytest.mark.parametrize(("keys", "pointer", "kubelet"), REFUSED, ids=lambda value: value if "/" in value else "")
def test_each_refusal_has_its_place_and_the_words_of_the_kubelet(
    keys: dict[str, Any], pointer: str, kubelet: str
) -> None:
    verdict = checked(**keys)

    assert (pointer, kubelet) in [(one.problem.pointer, one.kubelet) for one in verdict.findings if one.refuses]
    assert not verdict.starts


def test_the_right_value_is_told() -> None:
    hints = {
        ("16548Mi",): 'NUMA node 0 would be right with memory: "16484Mi"',
        ("8Gi", "8Gi"): 'NUMA node 1 would be right with memory: "8292Mi"',
        ("20Gi", "8Gi"): "shared evenly, nodes would have 0: 8242Mi, 1: 8242Mi",
    }
    for amounts, hint in hints.items():
        verdict = checked(**static(*amounts, kubeReserved={"memory": "16Gi"}))
        assert [one.problem.hint for one in verdict.findings] == [hint]


WARNED = [
    (static("100Mi", topologyManagerPolicy="none"), "/topologyManagerPolicy"),
    (static("1Gi", kubeReserved={"memory": "1Gi"}, evictionHard={"nodefs.available": "1%"}), "/evictionHard"),
    (static(3435973888, evictionHard={"memory.available": "5%"}), "/evictionHard/memory.available"),
    ({"reservedMemory": reserved("1Gi")}, "/reservedMemory"),
    (static("33Gi", kubeReserved={"memory": "33692Mi"}), "/reservedMemory/0/limits/memory"),
]


@pytest.mark.parametrize(("keys", "pointer"), WARNED)
def test_what_starts_and_is_a_trap_is_a_warning(keys: dict[str, Any], pointer: str) -> None:
    verdict = checked(**keys)

    assert verdict.starts
    assert said(verdict, Severity.WARNING) == [pointer]


def test_without_a_machine_what_needs_one_is_passed_over() -> None:
    keys = static("1Gi", "1Gi", evictionHard={"memory.available": "5%"}, reservedSystemCPUs="900")

    verdict = rules.check(sources(text(**keys)))

    assert (words(verdict), verdict.required.total) == ([], None)


# -- what holds in the end -------------------------------------------------------------------------------------------


def required(*texts: Text, line: str = "", directory: bool = False) -> str:
    verdict = rules.check(sources(texts[0], *texts[1:], line=line, directory=directory), TWO_NODES)
    return str(verdict.required.total)


MAIN = text(kubeReserved={"memory": "1Gi", "cpu": "1"})
BARE = text(kubeReserved={"memory": "1Gi"}, evictionHard={"nodefs.available": "10%"})


def test_defaults_of_eviction_belong_to_the_main_file() -> None:
    added = text("20-a.conf", evictionHard={"nodefs.available": "5%"})

    assert required(MAIN) == "1124Mi"
    assert required(BARE) == "1Gi"
    assert required(MAIN, added) == "1124Mi", "the base of the merge had the default already"
    assert required(BARE, added) == "1Gi"
    assert required(MAIN, text("20-a.conf", evictionHard=None)) == "1Gi", "null removes"


def test_default_signals_are_merged_where_the_main_file_asks_for_it() -> None:
    keys: dict[str, Any] = {"kubeReserved": {"memory": "1Gi"}, "evictionHard": {"nodefs.available": "10%"}}
    merging = text(**keys, mergeDefaultEvictionSettings=True)
    old = rules.check(sources(merging, version=(1, 32)))

    assert required(merging) == "1124Mi"
    assert str(old.required.total) == "1Gi", "not known before 1.33"
    assert required(BARE, text("20-a.conf", mergeDefaultEvictionSettings=True)) == "1Gi", "looked at in the main file"


def test_drop_ins_change_keys_of_mappings_and_whole_lists() -> None:
    first = text("10-a.conf", kubeReserved={"memory": "2Gi"}, reservedMemory=reserved("1Gi", "1Gi"))
    second = text("20-b.conf", reservedMemory=reserved("2148Mi"))

    effective = rules.check(sources(MAIN, first, second)).effective

    assert effective.values["kubeReserved"] == {"memory": "2Gi", "cpu": "1"}
    assert effective.values["reservedMemory"] == reserved("2148Mi")
    assert [effective.problem(at, "").where for at in ("/kubeReserved/memory", "/kubeReserved/cpu")] == [
        "10-a.conf",
        "config.yaml",
    ]
    assert effective.problem("/reservedMemory/0/limits/memory", "").place() == "20-b.conf:6:5"


def test_flags_take_the_place_of_whole_keys() -> None:
    line = (
        "--kube-reserved=memory=3Gi --eviction_hard 'memory.available<200Mi' --unknown x --reserved-memory 0:memory=1Gi"
    )
    verdict = rules.check(sources(MAIN, line=line))

    assert str(verdict.required.total) == "3272Mi"
    assert verdict.effective.values["kubeReserved"] == {"memory": "3Gi"}
    assert verdict.effective.values["reservedMemory"] == reserved("1Gi")
    assert required(MAIN, line="--experimental-allocatable-ignore-eviction") == "1Gi"


def test_a_flag_that_cannot_be_read_is_told() -> None:
    verdict = rules.check(sources(MAIN, line="--reserved-memory=memory --kube-reserved memory"))

    assert [(one.problem.where, one.refuses) for one in verdict.findings] == [
        ("--reserved-memory", True),
        ("--kube-reserved", True),
    ]


def test_fractions_of_the_main_file_are_rewritten_before_drop_ins_are_merged() -> None:
    main = text(**static("1.5Gi", systemReserved={"memory": "1436Mi"}))
    dropped = text("10-a.conf", reservedMemory=reserved("1.5Gi"))

    assert rules.check(sources(main, directory=True)).starts
    assert not rules.check(sources(main)).starts
    assert not rules.check(sources(main, dropped)).starts


BROKEN = {
    "kubeReserved: {}\n": "failed to load kubelet dropin file, path: a.conf, no apiVersion/kind",
    HEAD.replace("v1beta1", "v1"): "failed to load kubelet dropin file, path: a.conf, "
    "unknown apiVersion/kind: kubelet.config.k8s.io/v1, Kind=KubeletConfiguration",
    "- 1\n": "failed to load kubelet dropin file, path: a.conf",
    "a: [\n": "failed to load kubelet dropin file, path: a.conf, error: not valid YAML: "
    "while parsing a flow node, did not find expected node content",
}


@pytest.mark.parametrize(("broken", "kubelet"), BROKEN.items())
def test_a_drop_in_that_is_none_stops_the_kubelet(broken: str, kubelet: str) -> None:
    verdict = rules.check(sources(MAIN, Text(path="a.conf", text=broken)))

    assert kubelet in words(verdict)


def test_old_kubelets_have_no_drop_ins() -> None:
    verdict = rules.check(sources(MAIN, version=(1, 27), directory=True))

    assert words(verdict) == ["unknown flag: --config-dir"]


def test_a_percentage_is_bytes_of_this_machine() -> None:
    share = int(64 * GIB * 0.05000000074505806)
    verdict = checked(**static("1Gi", evictionHard={"memory.available": "5%"}))

    assert verdict.required.total is not None
    assert verdict.required.total.value == share
