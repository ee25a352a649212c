import pytest

from reconciler import classification
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.model import ClassTable, Knob, MemoryClass, NriSettings, Origin, Setting, Severity, Workload

ORIGIN = Origin(file="x.yaml", line=3)
IDLE = MemoryClass(
    name="swap-idle-data", allow_swap=True, engine=EngineConfig(policy=AgeConfig(interval_ms=10_000, swapout_ms=10_000))
)
BRONZE = MemoryClass(
    name="bronze", swap_limit_ratio=0.5, settings=(Setting(knob=Knob.MEMORY_LOW, value="4096", origin=ORIGIN),)
)
TABLE = ClassTable(
    classes={"swap-idle-data": IDLE, "bronze": BRONZE},
    nri=NriSettings(allow_annotations=("memory.high",), unified_annotations=("memory.swap.max",)),
)


def workload(annotations: dict[str, str], class_name: str | None = None, container: str = "c0") -> Workload:
    return Workload(
        id="1", namespace="ns", pod="pod", container=container, annotations=annotations, class_name=class_name
    )


CLASSES: dict[str, tuple[dict[str, str], str | None]] = {
    "nothing": ({}, None),
    "pod": ({"class.memtierd.nri.io": "swap-idle-data"}, "swap-idle-data"),
    "container wins": ({"class.memtierd.nri.io": "bronze", "class.memtierd.nri.io/c0": "swap-idle-data"}, IDLE.name),
    "container wins in any order": (
        {"class.memtierd.nri.io/c0": "swap-idle-data", "class.memtierd.nri.io": "bronze"},
        "swap-idle-data",
    ),
    "another container's": ({"class.memtierd.nri.io/c1": "swap-idle-data"}, None),
    "taken back": ({"class.memtierd.nri.io": "swap-idle-data", "class.memtierd.nri.io/c0": ""}, None),
    "memory-qos": ({"class.memory-qos.nri.io": "bronze"}, "bronze"),
    "memory-qos taken back": ({"class.memory-qos.nri.io": "bronze", "class.memory-qos.nri.io/c0": ""}, None),
    "memory-qos for the container": ({"class.memory-qos.nri.io/c0": "bronze"}, "bronze"),
    "a stranger's": ({"class.example.com": "bronze", "xclass.memtierd.nri.io.evil": "bronze"}, None),
}


@pytest.mark.parametrize(("annotations", "name"), CLASSES.values(), ids=CLASSES)
def test_the_class(annotations: dict[str, str], name: str | None) -> None:
    found = classification.classify(workload(annotations), TABLE)

    assert (found.memory_class and found.memory_class.name) == name
    assert found.problems == ()


def test_an_empty_container_part_is_no_container() -> None:
    found = classification.classify(workload({"class.memtierd.nri.io/": "bronze"}, container=""), TABLE)

    assert found.memory_class == BRONZE  # a workload without a container: nothing else it could mean


def test_an_administrators_class_wins_over_annotations() -> None:
    annotations = {"class.memtierd.nri.io": "nonsense"}

    assert classification.classify(workload(annotations, "bronze"), TABLE).memory_class == BRONZE
    assert classification.classify(workload(annotations, ""), TABLE).memory_class is None


def test_both_vocabularies_fill_each_others_gaps() -> None:
    both = {"class.memtierd.nri.io": "swap-idle-data", "class.memory-qos.nri.io": "bronze"}

    found = classification.classify(workload(both), TABLE).memory_class

    assert found is not None
    assert (found.name, found.engine, found.allow_swap) == ("swap-idle-data", IDLE.engine, True)
    assert (found.swap_limit_ratio, found.settings) == (0.5, BRONZE.settings)


def test_an_unknown_class_is_an_error_with_a_hint() -> None:
    found = classification.classify(workload({"class.memtierd.nri.io": "swap-idel-data"}), TABLE)

    assert found.memory_class is None
    (problem,) = found.problems
    assert (problem.severity, problem.where) == (Severity.ERROR, "workload ns/pod/c0")
    assert "did you mean 'swap-idle-data'" in problem.hint


SETTINGS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "memtierd": ({"memory.high.memtierd.nri.io": "64M"}, {"memory.high": "67108864"}),
    "memory-qos": ({"memory.swap.max.memory-qos.nri.io": "max"}, {"memory.swap.max": "max"}),
    "container wins": (
        {"memory.high.memtierd.nri.io": "64M", "memory.high.memory-qos.nri.io/c0": "4096"},
        {"memory.high": "4096"},
    ),
    "memtierd wins over memory-qos": (
        {"memory.high.memtierd.nri.io": "8192", "memory.high.memory-qos.nri.io": "4096"},
        {"memory.high": "8192"},
    ),
    "taken back": ({"memory.high.memtierd.nri.io": "64M", "memory.high.memtierd.nri.io/c0": ""}, {}),
    "without any class": ({"memory.high.memtierd.nri.io/c0": "max"}, {"memory.high": "max"}),
}


@pytest.mark.parametrize(("annotations", "values"), SETTINGS.values(), ids=SETTINGS)
def test_the_settings(annotations: dict[str, str], values: dict[str, str]) -> None:
    found = classification.classify(workload(annotations), TABLE)

    assert {setting.knob: setting.value for setting in found.settings} == values
    assert found.problems == ()


def test_a_percentage_stays_one() -> None:
    (setting,) = classification.classify(workload({"memory.high.memtierd.nri.io": "80%"}), TABLE).settings

    assert (setting.percent, setting.origin.file) == (80.0, "annotation memory.high.memtierd.nri.io")


def test_what_pods_may_not_set_is_ignored_and_said() -> None:
    annotations = {"memory.max.memtierd.nri.io": "max", "class.memtierd.nri.io": "bronze"}

    found = classification.classify(workload(annotations), TABLE)

    assert (found.memory_class, found.settings) == (BRONZE, ())
    (problem,) = found.problems
    assert problem.severity is Severity.WARNING
    assert "allowannotations" in problem.hint


def test_an_unknown_word_is_ignored_and_said() -> None:
    (problem,) = classification.classify(workload({"clas.memtierd.nri.io": "bronze"}), TABLE).problems

    assert problem.severity is Severity.WARNING
    assert "did you mean 'class'" in problem.hint


def test_a_bad_value_makes_the_container_unmanaged() -> None:
    annotations = {"memory.high.memtierd.nri.io": "lots", "class.memtierd.nri.io": "bronze"}

    found = classification.classify(workload(annotations), TABLE)

    assert (found.memory_class, found.settings) == (None, ())
    assert [problem.severity for problem in found.problems] == [Severity.ERROR]
