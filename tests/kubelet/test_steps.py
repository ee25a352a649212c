"""What has to be done, and what need not be."""

from typing import Any

import pytest

from reconciler.kubelet import steps
from reconciler.kubelet.steps import Deed, StateFiles, Step
from tests.kubelet.test_refusals import BUSY, FRESH, STATIC, effective
from tests.kubelet.test_remembered import NONE_CPU, NONE_MEMORY
from tests.kubelet.texts import TWO_NODES, static

OTHER = static("1124Mi", kubeReserved={"memory": "1Gi"})


def planned(present: str | None, memory: str | None, keys: dict[str, Any]) -> tuple[Step, ...]:
    files = StateFiles(memory_path="memory_manager_state", cpu_path="cpu_manager_state", memory=memory, cpu=NONE_CPU)
    return steps.plan("wanted", effective(**keys), TWO_NODES, path="90.conf", present=present, files=files)


WRITE, STOP, MOVE, START, DRAIN = Deed.WRITE, Deed.STOP, Deed.MOVE, Deed.START, Deed.DRAIN
CASES = [
    ("wanted", FRESH, STATIC, []),
    ("wanted", None, STATIC, []),
    ("older", FRESH, STATIC, [WRITE, STOP, START]),
    (None, BUSY, STATIC, [WRITE, STOP, START]),
    (None, NONE_MEMORY, STATIC, [WRITE, STOP, MOVE, START]),
    (None, BUSY, OTHER, [DRAIN, WRITE, STOP, MOVE, START]),
    ("wanted", BUSY, OTHER, [DRAIN, STOP, MOVE, START]),
    ("wanted", "{", STATIC, [STOP, MOVE, START]),
]


@pytest.mark.parametrize(("present", "memory", "keys", "deeds"), CASES)
def test_state_goes_only_where_the_kubelet_would_refuse_it(
    present: str | None, memory: str | None, keys: dict[str, Any], deeds: list[Deed]
) -> None:
    assert [one.deed for one in planned(present, memory, keys)] == deeds


def test_reasons_are_told() -> None:
    assert planned(None, BUSY, OTHER)[0].why == "1 container with pinned memory or CPUs would be forgotten"
    assert planned(None, BUSY, OTHER)[3] == Step(
        deed=Deed.MOVE,
        what="memory_manager_state",
        why="NUMA node 0: memory reserved for the system was 562Mi, and is 1124Mi now",
    )
