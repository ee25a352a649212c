import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import inventory
from reconciler.model import Problem, Severity, Workload, WorkloadState

SCHEMA = json.loads((Path(__file__).parents[2] / "schema" / "workload.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

CONTAINER = Workload(
    id="0123abcd",
    namespace="default",
    pod="web-0",
    container="app",
    pod_uid="11-22",
    sandbox="feed",
    runtime_handler="kata-qemu",
    cgroup="/kubepods/pod11-22/0123abcd",
    cgroups_path="/kubepods/pod11-22/0123abcd",
    pids=(42,),
    state=WorkloadState.PENDING,
    annotations={"class.memtierd.nri.io": "swap-idle-data"},
    labels={"app": "web"},
    memory_limit=1 << 28,
    runtime_values={"memory.swap.max": "0"},
    adjusted={"memory.swap.max": "max"},
    boot_id="b-1",
    source="/var/lib/x.json",
    writer="nri",
    problems=(Problem(where="workload x", message="no", hint="yes", line=3, severity=Severity.WARNING),),
)


def test_what_was_rendered_is_parsed_back() -> None:
    assert inventory.parse(inventory.render(CONTAINER), CONTAINER.source) == CONTAINER


def test_a_record_says_which_class_even_if_it_is_none() -> None:
    unmanaged = dataclasses.replace(CONTAINER, class_name="")

    assert inventory.parse(inventory.render(unmanaged), CONTAINER.source) == unmanaged


def test_rendered_records_fit_the_schema() -> None:
    VALIDATOR.validate(json.loads(inventory.render(CONTAINER)))


@pytest.mark.parametrize("example", SCHEMA["examples"])
def test_examples_of_the_schema_are_records(example: dict[str, object]) -> None:
    found = inventory.parse(json.dumps(example), "x.json")

    assert isinstance(found, Workload)
    assert found.named
    VALIDATOR.validate(example)


def test_people_write_yaml() -> None:
    found = inventory.parse("name: db\ncgroup: system.slice/db.service\nclass: idle\n", "db.yaml")
    assert not isinstance(found, Workload)

    found = inventory.parse("name: db\ncgroup: /system.slice/db.service/\nclass: idle\n", "db.yaml")
    assert found == Workload(
        id="db", cgroup="/system.slice/db.service", class_name="idle", source="db.yaml", named=True
    )


def test_a_class_may_find_the_processes_itself() -> None:
    found = inventory.parse("name: all\nclass: everybody\n", "all.yaml")

    assert found == Workload(id="all", class_name="everybody", source="all.yaml", named=True)


REFUSED = {
    "not a mapping": ("[1]", "", "mapping"),
    "neither": ("{{{", "", ""),
    "a key twice": ('{"id": "x", "cgroup": "/x", "id": "y"}', "/id", "twice"),
    "no id": ('{"cgroup": "/x"}', "/id", "no id"),
    "a path as id": ('{"id": "../x", "cgroup": "/x"}', "/id", "no id"),
    "nothing to manage": ('{"id": "x"}', "", "nothing to manage"),
    "a class of nobody": ('{"id": "x", "class": ""}', "", "nothing to manage"),
    "climbing": ('{"id": "x", "cgroup": "/a/../.."}', "/cgroup", "no path"),
    "relative": ('{"id": "x", "cgroup": "a"}', "/cgroup", "no path"),
    "a number as text": ('{"id": "x", "cgroup": 7}', "/cgroup", "must be a text"),
    "pid 0": ('{"id": "x", "pids": [0]}', "/pids/0", "positive"),
    "a pid in words": ('{"id": "x", "pids": ["1"]}', "/pids/0", "positive"),
    "true is no number": ('{"id": "x", "cgroup": "/x", "memory_limit": true}', "/memory_limit", "positive"),
    "unknown state": ('{"id": "x", "cgroup": "/x", "state": "dead"}', "/state", "pending or live"),
    "nested": ('{"id": "x", "cgroup": "/x", "labels": {"a/b": []}}', "/labels/a~1b", "must be a text"),
    "future": ('{"version": 2, "id": "x", "cgroup": "/x"}', "/version", "not known here"),
}


@pytest.mark.parametrize(("text", "pointer", "word"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said(text: str, pointer: str, word: str) -> None:
    found = inventory.parse(text, "x.json")

    assert isinstance(found, tuple)
    assert found[0].pointer == pointer
    assert word in found[0].message
    assert found[0].hint


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("id: x\ncgroup: [\n", "x.yaml:3:1"),
        ("id: x\ncgroup: x\n", "x.yaml:2:1"),
        ('{"id": "x",\n"pids": 1}', "x.yaml:2:1"),
    ],
)
def test_mistakes_have_a_place(text: str, place: str) -> None:
    found = inventory.parse(text, "x.yaml")

    assert isinstance(found, tuple)
    assert found[0].place() == place


@pytest.mark.parametrize("text", ["a: &a [1]\nb: *a\n", "[" * 100_000, "{id: x, y: " + "[" * 100_000, "1" * 5000])
def test_bombs_are_refused(text: str) -> None:
    assert isinstance(inventory.parse(text, "x"), tuple)


@given(st.text() | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(json.dumps))
def test_no_text_makes_it_fail(text: str) -> None:
    assert isinstance(inventory.parse(text, "x"), Workload | tuple)


def test_an_id_belongs_to_whom_a_person_named() -> None:
    ours = Workload(id="a", source="a.json")
    theirs = Workload(id="a", source="mine.yaml", named=True)

    merged = inventory.merge([ours, theirs, Workload(id="b")])

    assert merged.workloads == {"a": theirs, "b": Workload(id="b")}
    assert [problem.where for problem in merged.problems] == ["a.json"]


@pytest.mark.parametrize(
    "record",
    [
        '{"id": "a", "cgroup": "/a\\ud800"}',
        '{"id": "a", "cgroup": "/a\\u001b[2J"}',
        '{"id": "a", "cgroup": "/a", "pod": "\\udfff"}',
    ],
)
def test_half_characters_and_controls_are_refused(record: str) -> None:
    found = inventory.parse(record, "a.json")

    assert isinstance(found, tuple)
    assert found[0].severity is Severity.ERROR


def test_a_problem_of_any_type_in_a_record_is_no_crash() -> None:
    found = inventory.parse('{"id": "a", "cgroup": "/a", "problems": [{"severity": []}]}', "a.json")

    assert isinstance(found, Workload)
    assert found.problems[0].severity is Severity.ERROR
