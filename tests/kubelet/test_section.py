"""`kubelet:` in class files: what is read, merged, shown again, and refused."""

import pytest

from reconciler import classes, merged, schemas
from reconciler.classes import ClassText, Loaded
from reconciler.kubeletconfig import KubeletConfig, Split

SEED = """\
kubelet:
  memoryManager:
    policy: Static
    reserve: {split: weights, weights: {0: 2, 1: 1}}
  kubeReserved: {cpu: 4000m, memory: 16Gi}
  systemReserved: {memory: 4Gi}
  evictionHard: {memory.available: 512Mi}
  cpuManagerPolicy: static
  topologyManagerPolicy: best-effort
  topologyManagerScope: pod
  shutdownGracePeriod: 300s
  shutdownGracePeriodCriticalPods: 100s
"""


def load(*texts: str) -> Loaded:
    listed = [ClassText(path=f"{at}.yaml", name=f"{at}.yaml", text=text) for at, text in enumerate(texts)]
    return classes.load(listed, schemas.load())


def test_all_keys_of_the_seed() -> None:
    loaded = load(SEED)

    assert loaded.problems == ()
    assert loaded.table.kubelet == KubeletConfig(
        policy="Static",
        split=Split.WEIGHTS,
        weights={0: 2, 1: 1},
        keys={
            "kubeReserved": {"cpu": "4000m", "memory": "16Gi"},
            "systemReserved": {"memory": "4Gi"},
            "evictionHard": {"memory.available": "512Mi"},
            "cpuManagerPolicy": "static",
            "topologyManagerPolicy": "best-effort",
            "topologyManagerScope": "pod",
            "shutdownGracePeriod": "300s",
            "shutdownGracePeriodCriticalPods": "100s",
        },
    )


def test_a_later_file_replaces_single_keys() -> None:
    found = load(SEED, "kubelet: {systemReserved: {memory: 1Gi}}\n").table.kubelet

    assert found is not None
    assert found.keys["systemReserved"] == {"memory": "1Gi"}
    assert found.policy == "Static"


def test_what_is_merged_loads_to_the_same() -> None:
    loaded = load(SEED)
    again = load("\n".join(line.text for line in merged.lines(loaded)))

    assert again.problems == ()
    assert again.table.kubelet == loaded.table.kubelet


@pytest.mark.parametrize("text", ["kubelet: {}\n", "kubelet:\n", "classes: []\n"])
def test_without_keys_the_kubelet_is_left_alone(text: str) -> None:
    assert load(text).table.kubelet is None


WRONG = [
    ("memoryManager: {policy: static}", "/kubelet/memoryManager/policy", "must be one of None, Static"),
    ("memoryManager: {reserve: {split: weights}}", "/kubelet/memoryManager/reserve", "weights of nodes are missing"),
    (
        "memoryManager: {reserve: {split: even, weights: {0: 1}}}",
        "/kubelet/memoryManager/reserve",
        "weights count only with split: weights",
    ),
    ("kubeReserved: {memory: 16GB}", "/kubelet/kubeReserved/memory", 'the text "16GB": quantities must match'),
    ("kubeReserved: {memory: -1}", "/kubelet/kubeReserved/memory", "-1: less than nothing cannot be reserved"),
    ("kubeReserved: {hugepages-2Mi: 1Gi}", "/kubelet/kubeReserved/hugepages-2Mi", "unknown key"),
    ("evictionHard: {memory.available: 101%}", "/kubelet/evictionHard/memory.available", "must be <= 100%"),
    ("shutdownGracePeriod: '300'", "/kubelet/shutdownGracePeriod", 'the text "300" is no duration'),
    ("reservedMemory: []", "/kubelet/reservedMemory", "unknown key"),
]


@pytest.mark.parametrize(("key", "pointer", "said"), WRONG)
def test_mistakes_have_their_place(key: str, pointer: str, said: str) -> None:
    (problem,) = load(f"kubelet:\n  {key}\n").problems

    assert (problem.pointer, problem.line) == (pointer, 2)
    assert said in problem.message
