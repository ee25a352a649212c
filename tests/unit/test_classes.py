"""Class files together: what they come to, whoever wrote them."""

import json
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import classes, classfiles, documents, gather, merged, schemas
from reconciler.classes import ClassText, Loaded
from reconciler.engineconfig import (
    AgeConfig,
    Command,
    EngineConfig,
    MoverConfig,
    RoutineConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.model import (
    BrakeLimits,
    ClassTable,
    Knob,
    MemoryClass,
    Mode,
    OnError,
    OnMissingTracker,
    OnStop,
    Origin,
    Setting,
    Severity,
)
from sysfs.tree import Tree

ROOT = Path(__file__).parents[2]
SHIPPED = sorted([*(ROOT / "etc/examples").glob("*.yaml"), *(ROOT / "etc/nri").rglob("*.yaml")])
SCHEMAS = schemas.load()


def text(name: str, content: str) -> ClassText:
    return ClassText(path=f"/etc/nri/conf.d/{name}", name=name, text=textwrap.dedent(content))


def load(*texts: ClassText, after: Loaded | None = None) -> Loaded:
    return classes.load(texts, SCHEMAS, after.files if after else None)


def fine(content: str) -> ClassTable:
    loaded = load(text("60-mine.yaml", content))
    assert loaded.problems == ()
    return loaded.table


def errors(loaded: Loaded) -> list[str]:
    return [problem.message for problem in loaded.problems if problem.severity is Severity.ERROR]


# -- what is shipped and what others ship ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_we_ship_has_no_problems(path: Path) -> None:
    assert load(ClassText(path=str(path), name=path.name, text=path.read_text())).problems == ()
    document = documents.parse(path.read_text(), path.name)
    assert isinstance(document, documents.Document)
    jsonschema.Draft202012Validator(SCHEMAS["classes"]).validate(document.value)  # all of it, as editors do


def test_the_default_file_manages_nothing() -> None:
    path = ROOT / "etc/nri/conf.d/10-ebbtide.yaml"

    table = load(ClassText(path=str(path), name=path.name, text=path.read_text())).table

    assert replace(table, files=()) == ClassTable()


def test_the_class_of_nri_plugins_documentation() -> None:
    (swap_idle_data,) = fine((ROOT / "etc/examples/swap-idle-data.yaml").read_text()).classes.values()

    assert swap_idle_data.allow_swap is True
    assert swap_idle_data.engine == EngineConfig(
        policy=AgeConfig(interval_ms=10000, swapout_ms=10000),
        tracker=TrackerConfig(name="idlepage", pages_in_region=512, max_count_per_region=1, scan_interval_ms=10000),
        mover=MoverConfig(interval_ms=20, bandwidth_mib=50),
        watcher=WatcherConfig(cgroups=("$CGROUP2_ABS_PATH",)),
    )


def test_nri_plugins_sample_with_two_classes() -> None:
    (tracked,) = fine((ROOT / "etc/examples/track-working-set-size.yaml").read_text()).classes.values()

    assert tracked.allow_swap is False
    assert tracked.engine is not None
    assert not tracked.engine.moves()
    assert tracked.engine.routines == (
        RoutineConfig(
            interval_ms=60000,
            command=Command(words=("policy", "-dump", "accessed", "0,1m,30m,2h,24h,0"), runner="memtier"),
        ),
    )


def test_memory_qos_sample() -> None:
    table = fine("""
        classes:
        - name: bronze
          swaplimitratio: 0.5
        - name: silver
          swaplimitratio: 0.2
        unifiedannotations:
        - memory.swap.max
        - memory.high
        """)

    assert {name: one.swap_limit_ratio for name, one in table.classes.items()} == {"bronze": 0.5, "silver": 0.2}
    assert table.nri.unified_annotations == ("memory.swap.max", "memory.high")


# -- one file --------------------------------------------------------------------------------------------------------


def test_every_key_and_where_it_stands() -> None:
    file = "/etc/nri/conf.d/60-mine.yaml"
    table = fine(
        """\
        classes:
          - name: lean
            allowswap: false
            memory:
              high: 80%
              swap.max: 64M
              oom.group: true
            swaplimitratio: 0.25
            onstop: restore
            onmissingtracker: refuse
            mode: observe
        """.replace("allowswap: false", "memtierdconfig: {policy: {name: age, config: {interval: 1s}}}")
    )

    def at(line: int) -> Origin:
        return Origin(file=file, line=line)

    assert table.classes["lean"] == MemoryClass(
        name="lean",
        engine=EngineConfig(policy=AgeConfig(interval_ms=1000), watcher=WatcherConfig(cgroups=("$CGROUP2_ABS_PATH",))),
        settings=(
            Setting(knob=Knob.MEMORY_HIGH, percent=80.0, origin=at(5)),
            Setting(knob=Knob.SWAP_MAX, value=str(64 * 2**20), origin=at(6)),
            Setting(knob=Knob.OOM_GROUP, value="1", origin=at(7)),
        ),
        swap_limit_ratio=0.25,
        on_stop=OnStop.RESTORE,
        on_missing_tracker=OnMissingTracker.REFUSE,
        mode=Mode.OBSERVE,
        origins={
            "name": at(2),
            "memtierdconfig": at(3),
            "memory.high": at(5),
            "memory.swap.max": at(6),
            "memory.oom.group": at(7),
            "swaplimitratio": at(8),
            "onstop": at(9),
            "onmissingtracker": at(10),
            "mode": at(11),
        },
    )


def test_settings_of_the_node() -> None:
    table = fine("""
        nri: {onerror: reject, adjust: false, allowannotations: [memory.high]}
        engine: {cpupercent: 12.5%, brakes: {refaultpercent: 1, swapusedpercent: 80%}}
        mode: observe
        """)

    assert (table.nri.on_error, table.nri.adjust, table.nri.allow_annotations) == (
        OnError.REJECT,
        False,
        ("memory.high",),
    )
    assert table.engine.cpu_percent == 12.5
    assert table.engine.brakes == BrakeLimits(refault_percent=1, swap_used_percent=80)
    assert table.mode is Mode.OBSERVE


@pytest.mark.parametrize("empty", ["", "# nothing\n", "---\n", "classes:\nworkloads:\nnri:\nengine:\n", "classes: []"])
def test_sections_without_content_are_fine(empty: str) -> None:
    assert replace(fine(empty), files=()) == ClassTable()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/batch.slice", "/batch.slice"),
        ("/sys/fs/cgroup/batch.slice/", "/batch.slice"),
        ("/machine.slice/*.scope", "/machine.slice/*.scope"),
    ],
)
def test_cgroups_of_static_workloads(written: str, path: str) -> None:
    table = fine(f"classes: [{{name: c}}]\nworkloads: [{{name: w, cgroup: '{written}', class: c}}]")

    assert [(one.name, one.cgroup, one.class_name) for one in table.workloads] == [("w", path, "c")]


EVERYBODY = "{policy: {name: stub, config: {pidwatcher: {name: proc}}}}"


def test_a_static_workload_may_leave_its_processes_to_its_class() -> None:
    table = fine(f"classes: [{{name: c, memtierdconfig: {EVERYBODY}}}]\nworkloads: [{{name: w, class: c}}]")

    assert [(one.name, one.cgroup) for one in table.workloads] == [("w", "")]
    assert [(each.id, each.cgroup, each.named) for each in gather.static_workloads(Tree("/nowhere"), "", table)] == [
        ("w", "", True)
    ]


# -- several files ---------------------------------------------------------------------------------------------------


def test_the_later_file_wins_key_by_key() -> None:
    loaded = load(
        text("10-a.yaml", "classes: [{name: lean, allowswap: true, memory: {low: 1M, high: 80%}}]\nmode: observe"),
        text("60-b.yaml", "classes:\n- name: lean\n  memory: {high: max}\n- name: other\nmode: act"),
    )
    lean = loaded.table.classes["lean"]

    assert loaded.problems == ()
    assert lean.allow_swap is True
    assert {one.knob: (one.value, one.origin.file[-9:]) for one in lean.settings} == {
        Knob.MEMORY_LOW: ("1048576", "10-a.yaml"),
        Knob.MEMORY_HIGH: ("max", "60-b.yaml"),
    }
    assert str(lean.origins["memory.high"]) == "/etc/nri/conf.d/60-b.yaml:3"
    assert (sorted(loaded.table.classes), loaded.table.mode) == (["lean", "other"], Mode.ACT)
    assert [path[-9:] for path in loaded.table.files] == ["10-a.yaml", "60-b.yaml"]


def test_a_file_that_breaks_keeps_its_last_good_version_and_the_others_go_on() -> None:
    before = load(text("a.yaml", "classes: [{name: a, allowswap: true}]"), text("b.yaml", "classes: [{name: b}]"))
    after = load(text("a.yaml", "classes: [{name: a"), text("b.yaml", "classes: [{name: c}]"), after=before)

    assert sorted(after.table.classes) == ["a", "c"]
    assert after.table.classes["a"].allow_swap is True
    assert after.failed == {"/etc/nri/conf.d/a.yaml"}
    assert [problem.severity for problem in after.problems] == [Severity.ERROR, Severity.NOTE]
    assert "last good version" in after.problems[1].message


def test_it_stays_so_until_the_file_is_right_again() -> None:
    good = load(text("a.yaml", "classes: [{name: a}]"))
    bad = load(text("a.yaml", "classes: {"), after=good)
    still = load(text("a.yaml", "classes: ["), after=bad)
    again = load(text("a.yaml", "classes: [{name: z}]"), after=still)

    assert [sorted(one.table.classes) for one in (bad, still, again)] == [["a"], ["a"], ["z"]]
    assert (again.problems, set(again.failed)) == ((), set())


def test_a_file_that_was_never_good_is_left_out_as_a_whole() -> None:
    loaded = load(
        text("a.yaml", "classes: [{name: a}, {name: b, allowswap: 5}]"), text("b.yaml", "classes: [{name: c}]")
    )

    assert sorted(loaded.table.classes) == ["c"]
    assert loaded.files.keys() == {"/etc/nri/conf.d/b.yaml"}


def test_a_removed_file_is_forgotten() -> None:
    before = load(text("a.yaml", "classes: [{name: a}]"))

    assert load(after=before) == Loaded()


def test_an_unchanged_file_is_not_read_again() -> None:
    content = text("a.yaml", "classes: [{name: a, memory: {low: 2M, high: 1M}}]")
    before = load(content)
    after = load(content, after=before)

    assert after.files["/etc/nri/conf.d/a.yaml"] is before.files["/etc/nri/conf.d/a.yaml"]
    assert after.problems == before.problems != ()


def test_a_file_that_could_not_be_read_is_told_and_remembered() -> None:
    before = load(text("a.yaml", "classes: [{name: a}]"))
    unreadable = classfiles.read((), ["/nonexistent/a.yaml"])[0]
    path = "/etc/nri/conf.d/a.yaml"
    after = load(replace(unreadable, path=path), after=before)

    assert (sorted(after.table.classes), set(after.failed)) == (["a"], {path})


def test_a_workload_of_an_unknown_class_is_an_error_that_suspects_broken_files() -> None:
    loaded = load(text("a.yaml", "classes: ["), text("b.yaml", "workloads: [{name: w, cgroup: /w, class: lean}]"))

    assert errors(loaded)[-1] == 'workload "w" wants the class "lean", which no file defines'
    assert loaded.problems[-1].hint.endswith("or is it in a file with errors: /etc/nri/conf.d/a.yaml?")


PAGES_OUT = "memtierdconfig: {policy: {name: age, config: {interval: 1s, swapout: 9s}}}"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            "allowswap: false, memtierdconfig: {policy: {name: age, config: {interval: 1s, swapout: 9s}}}",
            "allows no swap",
        ),
        (
            "memory: {swap.max: 0}, memtierdconfig: {policy: {name: age, config: {interval: 1s, swapout: 9s}}}",
            "no swap",
        ),
        ("memory: {low: 2M, high: 1M}", "memory.low is above memory.high"),
        ("memory: {high: 90%, max: 80%}", "memory.high is above memory.max"),
        ("allowswap: true, memory: {swap.max: 1M}", "memory.swap.max wins over allowswap"),
    ],
)
def test_settings_that_make_no_sense_together(entry: str, says: str) -> None:
    loaded = load(text("a.yaml", f"classes: [{{name: c, {entry}}}]"))

    assert says in loaded.problems[0].message
    assert "c" in loaded.table.classes


def test_file_pages_leave_without_swap() -> None:
    age = "{interval: 1s, swapout: 9s, pagetypes: [file]}"

    fine(f"classes: [{{name: c, allowswap: false, memtierdconfig: {{policy: {{name: age, config: {age}}}}}}}]")


@pytest.mark.parametrize(
    "inner",
    [
        "# " + "x" * 400_000,  # nothing but time
        "a: &a [" + "x, " * 90 + "]\nb: [" + "*a, " * 90 + "]",  # nodes
    ],
    ids=["long", "bomb"],
)
def test_a_text_that_aliases_repeat_is_not_read_thousands_of_times(inner: str) -> None:
    lines = "".join(f"- {{name: c{at}, memtierdconfig: *t}}\n" for at in range(3000))
    loaded = load(text("a.yaml", f"classes:\n- name: c\n  memtierdconfig: &t {json.dumps(inner)}\n{lines}"))

    messages = "\n".join(errors(loaded))

    assert "amount to more than 4 MiB" in messages or "more than 20000 values" in messages
    assert loaded.table.classes == {}


def test_of_a_hopeless_file_only_the_first_problems_are_told() -> None:
    lines = "".join(f"- {{name: c{at}, memtierdconfig: {{polices: 1}}}}\n" for at in range(100))
    loaded = load(text("a.yaml", "classes:\n" + lines))

    assert len(loaded.problems) == 51
    assert loaded.problems[-1].message == "and 150 more problems in this file"


def test_a_static_workload_needs_a_cgroup_or_a_class_that_finds_processes() -> None:
    loaded = load(text("a.yaml", "classes: [{name: c}]\nworkloads:\n- {name: w, class: c}"))

    assert [(each.line, each.message) for each in loaded.problems] == [
        (3, 'workload "w" names no cgroup, and class "c" finds no processes by itself')
    ]


# -- the schema and the reader ---------------------------------------------------------------------------------------


def test_the_schema_is_one_and_its_examples_load() -> None:
    schema = SCHEMAS["classes"]
    jsonschema.Draft202012Validator.check_schema(schema)

    for example in schema["examples"]:
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(example)) == []
        fine(json.dumps(example))


def test_the_schema_knows_the_same_words_as_we_do() -> None:
    memory = SCHEMAS["classes"]["$defs"]["class"]["properties"]["memory"]["properties"]
    keys = SCHEMAS["classes"]["$defs"]["class"]["properties"]

    assert {f"memory.{key}" for key in memory} == {str(knob) for knob in Knob}
    assert keys["onstop"]["enum"] == [str(word) for word in OnStop]
    assert keys["onmissingtracker"]["enum"] == [str(word) for word in OnMissingTracker]
    assert keys["mode"]["enum"] == [str(word) for word in Mode]


def stripped(table: ClassTable) -> Any:
    """Without the places, which writing it anew changes."""
    plain = [
        replace(one, origins={}, settings=tuple(replace(s, origin=Origin(file="")) for s in one.settings))
        for one in table.classes.values()
    ]
    workloads = [replace(one, origin=Origin(file="")) for one in table.workloads]
    return plain, workloads, table.routines, table.nri, table.engine, table.mode


def examples() -> Iterable[str]:
    yield from (path.read_text() for path in SHIPPED)
    yield """
        workloads: [{name: w, class: all}, {name: x, cgroup: /x, class: "true"}]
        classes:
        - {name: all, memtierdconfig: {policy: {name: stub, config: {pidwatcher: {name: proc}}}}}
        - {name: "true", memory: {max: 12.5%, zswap.writeback: 1}}
        - {name: "a: #b"}
        nri: {onerror: reject, adjust: false, allowannotations: [memory.high, memory.max]}
        engine: {cpupercent: 1, brakes: {pressurepercent: 3, refaultpercent: 4, swapusedpercent: 5}}
        unifiedannotations: []
        mode: observe
        """


def test_what_they_come_to_loads_again() -> None:
    files = [text(f"{at}.yaml", content) for at, content in enumerate(examples())]
    loaded = load(*files)
    written = "\n".join(line.text for line in merged.lines(loaded))

    assert loaded.problems == ()
    assert stripped(fine(written)) == stripped(loaded.table)


# -- strangers -------------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(
    [
        "classes",
        "workloads",
        "nri",
        "engine",
        "name",
        "memory",
        "high",
        "memtierdconfig",
        "allowswap",
        "mode",
        "policy",
        "unifiedannotations",
        "routines",
        "statactions",
        "intervalcommand",
        "brakes",
        "cgroup",
        "class",
        "swaplimitratio",
        "cpupercent",
        "act",
        "80%",
        "max",
        "config",
        "age",
        "interval",
        "1s",
        "memcg",
        "psi",
        "swap",
        "cgroups",
        "path",
        "numa_id",
        "guest_swap_path",
        "reclaim",
        "floor",
        "memagent",
        "compact",
    ]
)
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)


@given(st.text(max_size=80) | VALUES.map(lambda value: json.dumps(value, allow_nan=False) if _finite(value) else ""))
def test_whatever_stands_in_a_file_nothing_is_raised(content: str) -> None:
    loaded = load(text("good.yaml", "classes: [{name: good}]"), text("x.yaml", content))

    assert "good" in loaded.table.classes
    assert (loaded.failed == set()) == (not any(problem.where.endswith("x.yaml") for problem in _errors_of(loaded)))


def _errors_of(loaded: Loaded) -> list[Any]:
    unknown_class = "which no file defines"
    return [p for p in loaded.problems if p.severity is Severity.ERROR and unknown_class not in p.message]


def _finite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
