"""The agent's sections: every key, its units and ranges, what later files change, and set calls."""

import json
import textwrap
from dataclasses import fields
from typing import Any

import jsonschema
import pytest

from reconciler import agentkeys, agentreading, classes, classfiles, merged, schemas
from reconciler.agentconfig import (
    MIB,
    NEVER,
    Combine,
    CompactConfig,
    MemagentConfig,
    MemcgConfig,
    MemcgOverride,
    MemcgProfile,
    PsiConfig,
    ReclaimConfig,
    Slo,
    SwapConfig,
    SwapKind,
)
from reconciler.classes import ClassText, Loaded
from reconciler.model import ClassTable, Origin, Severity

SCHEMAS = schemas.load()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMAS["classes"])
READ_ONLY_HERE = {
    "guest_swap_path",
    "pass_secs",
    "period_secs",
}  # paths, sums of durations, no number: no schema says it


def load(*contents: str) -> Loaded:
    texts = [
        ClassText(path=f"/etc/{at}.yaml", name=f"{at}.yaml", text=textwrap.dedent(content))
        for at, content in enumerate(contents)
    ]
    return classes.load(texts, SCHEMAS)


def fine(*contents: str) -> ClassTable:
    loaded = load(*contents)
    assert loaded.problems == ()
    return loaded.table


def test_without_sections_all_parts_are_off() -> None:
    table = fine("classes: []\n")

    assert (table.psi, table.memcg, table.compact, table.swap) == (PsiConfig(), None, None, None)


def test_a_section_without_keys_is_on_with_all_defaults() -> None:
    table = fine("memcg: {}\ncompact: {}\nswap: {}\npsi: {}\n")

    assert (table.memcg, table.compact, table.swap) == (MemcgConfig(), CompactConfig(), SwapConfig())


def test_a_heading_alone_turns_nothing_on() -> None:
    loaded = load("memcg:\ncompact:\n")

    assert (loaded.table.memcg, loaded.table.compact) == (None, None)
    assert [(one.severity, one.hint[:19]) for one in loaded.problems] == [
        (Severity.WARNING, "write memcg: {} for"),
        (Severity.WARNING, "write compact: {} f"),
    ]


def test_every_key_with_its_units() -> None:
    table = fine("""
        psi: { required: true, combine: max, full: true }
        memcg:
          disabled: false
          swap: true
          swappiness_max: 200
          period_secs: 10m
          period_psi_percent_limit: 0.5%
          eviction_psi_percent_limit: 2
          eviction_run_aging_count_min: 4
          pass_bytes: 64MiB
          pass_secs: 1m30s
          dry_run: true
        compact:
          disabled: true
          period_secs: 300
          period_psi_percent_limit: 3
          compact_psi_percent_limit: 7.5%
          compact_sec_max: 2m
          compact_order: 10
          compact_threshold: 2048
          compact_force_times: 12
          per_node: true
          dry_run: true
        swap:
          enable_guest_swap: true
          guest_swap_path: /var/swap/
          guest_swap_size_percent: 50%
          guest_swap_create_threshold_secs: 5s
          kind: zram
          keep_free_bytes: 2GiB
          priority: 5
          algorithm: zstd
        """)

    assert table.psi == PsiConfig(required=True, combine=Combine.MAX, full=True)
    assert table.memcg == MemcgConfig(
        profile=MemcgProfile(
            swap=True,
            swappiness_max=200,
            period_secs=600,
            period_psi_percent_limit=0.5,
            eviction_psi_percent_limit=2,
            eviction_run_aging_count_min=4,
        ),
        pass_bytes=64 * MIB,
        pass_secs=90,
        dry_run=True,
    )
    assert table.compact == CompactConfig(
        disabled=True,
        period_secs=300,
        period_psi_percent_limit=3,
        compact_psi_percent_limit=7.5,
        compact_sec_max=120,
        compact_order=10,
        compact_threshold=2048,
        compact_force_times=12,
        per_node=True,
        dry_run=True,
    )
    assert table.swap == SwapConfig(
        enable_guest_swap=True,
        guest_swap_path="/var/swap",
        guest_swap_size_percent=50,
        guest_swap_create_threshold_secs=5,
        kind=SwapKind.ZRAM,
        keep_free_bytes=2048 * MIB,
        priority=5,
        algorithm="zstd",
    )


@pytest.mark.parametrize(("word", "required"), [("required", True), ("optional", False)])
def test_psi_as_a_word(word: str, required: bool) -> None:
    assert fine(f"psi: {word}\n").psi == PsiConfig(required=required)


def test_cgroups_have_the_sections_keys_unless_they_say_otherwise() -> None:
    table = fine("""
        memcg:
          swap: true
          period_secs: 60
          cgroups:
            - path: /sys/fs/cgroup/batch.slice/
              swappiness_max: 100
            - { path: /a, numa_id: [1, 0, 1], no_subdir: true, swap: false }
            - { path: /a, numa_id: 2 }
            - { path: / , disabled: true }
        """)
    base = MemcgProfile(swap=True, period_secs=60)

    assert table.memcg is not None
    assert table.memcg.profile == base
    assert table.memcg.cgroups == (
        MemcgOverride(path="/batch.slice", profile=MemcgProfile(swap=True, period_secs=60, swappiness_max=100)),
        MemcgOverride(path="/a", numa_id=(0, 1), no_subdir=True, profile=MemcgProfile(period_secs=60)),
        MemcgOverride(path="/a", numa_id=(2,), profile=base),
        MemcgOverride(path="/", profile=MemcgProfile(swap=True, period_secs=60, disabled=True)),
    )
    assert table.agent_origins["memcg[/batch.slice].swappiness_max"] == Origin(file="/etc/0.yaml", line=7)
    assert table.agent_origins["memcg[/a:0:1].swap"] == Origin(file="/etc/0.yaml", line=8)


def test_a_later_file_wins_key_by_key() -> None:
    table = fine(
        "memcg:\n  swap: true\n  period_secs: 60\n  cgroups: [{path: /a, swap: false}]\n",
        "memcg:\n  period_secs: 5m\n  cgroups: [{path: /b}]\n",
    )

    assert table.memcg is not None
    assert table.memcg.profile == MemcgProfile(swap=True, period_secs=300)
    assert table.memcg.cgroups == (MemcgOverride(path="/b", profile=MemcgProfile(swap=True, period_secs=300)),)
    assert {name: str(origin) for name, origin in table.agent_origins.items()} == {
        "memcg": "/etc/1.yaml:1",
        "memcg.swap": "/etc/0.yaml:2",
        "memcg.period_secs": "/etc/1.yaml:2",
        "memcg.cgroups": "/etc/1.yaml:3",
    }


@pytest.mark.parametrize("text", ["18446744073709551615", "9223372036854775807", "never"])
def test_never_in_all_its_spellings(text: str) -> None:
    compact = fine(f"compact: {{compact_force_times: {text}}}\n").compact

    assert compact is not None
    assert compact.compact_force_times == NEVER


@pytest.mark.parametrize(
    ("section", "good", "bad"),
    [
        ("memcg", {"swappiness_max": 0}, {"swappiness_max": -1}),
        ("memcg", {"swappiness_max": 200}, {"swappiness_max": 201}),
        ("memcg", {"period_secs": 1}, {"period_secs": 0}),
        ("memcg", {"period_secs": "3650d"}, {"period_secs": "3651d"}),
        ("memcg", {"period_psi_percent_limit": 255}, {"period_psi_percent_limit": 256}),
        ("memcg", {"eviction_psi_percent_limit": 0}, {"eviction_psi_percent_limit": -0.5}),
        ("memcg", {"eviction_run_aging_count_min": (1 << 64) - 1}, {"eviction_run_aging_count_min": 1 << 64}),
        ("memcg", {"swap": False}, {"swap": 0}),
        ("memcg", {"pass_bytes": "1k"}, {"pass_bytes": -1}),
        ("memcg", {"pass_secs": 0}, {"pass_secs": float("nan")}),
        ("compact", {"compact_order": 0}, {"compact_order": -1}),
        ("compact", {"compact_order": 14}, {"compact_order": 15}),
        ("compact", {"compact_order": 9.0}, {"compact_order": 9.5}),
        ("compact", {"compact_sec_max": 1}, {"compact_sec_max": 0.5}),
        ("compact", {"compact_force_times": (1 << 64) - 1}, {"compact_force_times": 1 << 64}),
        ("compact", {"compact_force_times": 0}, {"compact_force_times": "often"}),
        ("compact", {"compact_threshold": 0}, {"compact_threshold": True}),
        ("swap", {"guest_swap_size_percent": 0.1}, {"guest_swap_size_percent": 0}),
        ("swap", {"guest_swap_path": ""}, {"guest_swap_path": "swap"}),
        ("swap", {"guest_swap_path": "/runner"}, {"guest_swap_path": "/run"}),
        ("swap", {"guest_swap_path": "/var/swap"}, {"guest_swap_path": "/var/../run/swap"}),
        ("swap", {"guest_swap_path": "/devices"}, {"guest_swap_path": "/dev/shm/swap"}),
        ("swap", {"priority": -1}, {"priority": -2}),
        ("swap", {"priority": 32767}, {"priority": 32768}),
        ("swap", {"algorithm": "lzo-rle"}, {"algorithm": "zstd\nx"}),
        ("psi", {"combine": "sum"}, {"combine": "SUM"}),
    ],
)
def test_ranges_are_exact(section: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert agentreading.changes(section, good)[1] == ()
    assert len(agentreading.changes(section, bad)[1]) == 1
    assert VALIDATOR.is_valid({section: good}), "editors say the same"
    assert not VALIDATOR.is_valid({section: bad}) or bad.keys() & READ_ONLY_HERE


def test_a_swap_file_on_a_tmpfs_is_refused_with_that_reason() -> None:
    (problem,) = load("swap:\n  guest_swap_path: /run/kata-containers/swap\n").problems

    assert (problem.line, problem.pointer) == (2, "/swap/guest_swap_path")
    assert "/run is kept in memory" in problem.message


def test_a_file_that_was_handed_over_may_not_say_where_files_are_made() -> None:
    text = classfiles.handed("swap:\n  enable_guest_swap: true\n  guest_swap_path: /etc\n", "boot")

    (problem,) = classes.load([ClassText(path="/state/a.yaml", name="a.yaml", text=text)], SCHEMAS).problems

    assert (problem.line, problem.message) == (3, "only a file of root's may say where files are made")


# -- classes -----------------------------------------------------------------------------------------------------------


def test_reclaim_of_a_class() -> None:
    table = fine("""
        classes:
        - name: all
          reclaim: {slo: refault, target: 2, io_target: 0.2%, interval: 10s, step: 1%, most_step: 2%, floor: 1GiB,
                    swappiness: 0, swap_used: 50%, write_rate: 512KiB/s}
        - { name: share, reclaim: { floor: 25% } }
        - { name: kept, reclaim: never }
        - { name: none }
        """)

    assert table.classes["all"].reclaim == ReclaimConfig(
        slo=Slo.REFAULT,
        target_percent=2,
        io_target_percent=0.2,
        interval_secs=10,
        step_percent=1,
        most_step_percent=2,
        floor_bytes=1024 * MIB,
        swappiness=0,
        swap_used_percent=50,
        write_bytes_per_sec=MIB // 2,
    )
    assert table.classes["share"].reclaim == ReclaimConfig(floor_percent=25)
    assert [(name, one.reclaim_never, one.reclaim is None) for name, one in table.classes.items()] == [
        ("all", False, False),
        ("kept", True, True),
        ("none", False, True),
        ("share", False, False),
    ]


def test_a_later_file_may_take_never_back() -> None:
    table = fine("classes: [{name: a, reclaim: never}]\n", "classes: [{name: a, reclaim: {}}]\n")

    assert (table.classes["a"].reclaim_never, table.classes["a"].reclaim) == (False, ReclaimConfig())


def test_memagent_of_a_class_is_in_a_kata_agents_own_types() -> None:
    table = fine("""
        classes:
        - name: kata
          memagent:
            memcg: { swap: true, period_secs: 5m, period_psi_percent_limit: 2% }
            compact: { compact_force_times: never }
        """)

    assert table.classes["kata"].memagent == MemagentConfig(
        memcg=(("period_psi_percent_limit", 2), ("period_secs", 300), ("swap", True)),
        compact=(("compact_force_times", NEVER),),
    )


# -- set calls ---------------------------------------------------------------------------------------------------------


def test_a_set_call_gives_values_as_the_reader_does() -> None:
    document = json.loads('{"swap": true, "period_secs": 300, "swappiness_max": 60, "pass_bytes": "1MiB"}')

    assert agentreading.changes("memcg", document) == (
        {"swap": True, "period_secs": 300.0, "swappiness_max": 60, "pass_bytes": MIB},
        (),
    )


@pytest.mark.parametrize(
    ("section", "document", "cgroup", "message", "hint"),
    [
        ("memcg", {"swapp": True}, "", 'unknown key "swapp"', 'did you mean "swap"?'),
        ("memcg", {"memcg_disable": True}, "", 'unknown key "memcg_disable"', 'did you mean "disabled"? (a Kata'),
        ("compact", {"compact_period_secs": 5}, "", 'unknown key "compact_period_secs"', 'did you mean "period_secs"'),
        ("compact", {"period_secs": None}, "", "must be seconds, or a duration such as 10m, not nothing", "for exam"),
        ("memcg", {"pass_bytes": 1}, "/a", 'unknown key "pass_bytes"', "known here: disabled, swap"),
        ("memcg", {"cgroups": []}, "", 'unknown key "cgroups"', "known here: disabled, swap"),
        ("compact", {}, "/a", "compact has no settings of single cgroups", "leave the cgroup /a out"),
    ],
)
def test_what_a_set_call_may_not_say(
    section: str, document: dict[str, Any], cgroup: str, message: str, hint: str
) -> None:
    _, (problem,) = agentreading.changes(section, document, cgroup=cgroup)

    assert problem.message == message
    assert problem.hint.startswith(hint)


# -- the schema and the reader -----------------------------------------------------------------------------------------


def _properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMAS["classes"]["properties"][name]
    found = found["anyOf"][1] if "anyOf" in found else found
    below: dict[str, Any] = found["properties"]
    return below


@pytest.mark.parametrize("section", agentreading.SECTIONS)
def test_the_schema_has_the_same_keys_and_defaults(section: str) -> None:
    properties = _properties(section)
    (config,) = (one for one in (PsiConfig(), MemcgConfig(), CompactConfig(), SwapConfig()) if _is(one, section))
    defaults = {each.name: getattr(config, each.name) for each in fields(config)}
    if isinstance(config, MemcgConfig):
        defaults |= {each.name: getattr(config.profile, each.name) for each in fields(config.profile)}

    assert properties.keys() - {"cgroups"} == agentkeys.SECTIONS[section].keys()
    for key, read in agentkeys.SECTIONS[section].items():
        assert read.read(properties[key]["default"]) == defaults[key], key


def _is(config: object, section: str) -> bool:
    return type(config).__name__.lower() == f"{section}config"


def test_the_schema_of_classes_has_the_same_keys_and_defaults() -> None:
    of_class = SCHEMAS["classes"]["$defs"]["class"]["properties"]
    reclaim = of_class["reclaim"]["anyOf"][1]["properties"]
    memagent = of_class["memagent"]["properties"]
    defaults = {key: value["default"] for key, value in reclaim.items() if "default" in value}

    assert reclaim.keys() == agentkeys.RECLAIM.keys()
    assert {name: tuple(below["properties"]) for name, below in memagent.items()} == dict(agentkeys.OF_MEM_AGENT)
    assert fine(json.dumps({"classes": [{"name": "c", "reclaim": defaults}]})).classes["c"].reclaim == ReclaimConfig()


EVERYTHING = """
psi: {required: true, combine: max}
memcg:
  swap: true
  period_secs: 90s
  pass_bytes: 1GiB
  cgroups: [{path: "/a: b", swap: false}, {path: /a, numa_id: [0, 2], no_subdir: true, disabled: true}]
compact: {}
swap: {enable_guest_swap: true, kind: zram, guest_swap_size_percent: 12.5%}
classes:
- {name: a, reclaim: never}
- {name: b, reclaim: {slo: promotion, target: 0.2%, floor: 20%, swappiness: 0}}
- {name: c, reclaim: {floor: 1MiB}, memagent: {memcg: {swap: true}, compact: {compact_force_times: never}}}
- {name: d, reclaim: {}, memagent: {}}
"""


def test_what_they_come_to_loads_again_and_keeps_the_schema() -> None:
    loaded = load(EVERYTHING)
    written = "\n".join(line.text for line in merged.lines(loaded))
    again = fine(written)

    assert loaded.problems == ()
    jsonschema.Draft202012Validator(SCHEMAS["classes"]).validate(merged.document(loaded))
    for name in ("psi", "memcg", "compact", "swap"):
        assert getattr(again, name) == getattr(loaded.table, name)
    for name, one in loaded.table.classes.items():
        found = again.classes[name]
        assert (found.reclaim, found.reclaim_never, found.memagent) == (one.reclaim, one.reclaim_never, one.memagent)


def test_each_line_of_the_result_says_who_gave_it() -> None:
    lines = merged.lines(load("memcg:\n  cgroups:\n  - path: /a\n    swap: true\n", "memcg: {period_secs: 60}\n"))

    assert [(line.text, str(line.origin or "")) for line in lines] == [
        ("memcg:", "/etc/1.yaml:1"),
        ("  cgroups:", "/etc/0.yaml:2"),
        ("  - path: /a", ""),
        ("    swap: true", "/etc/0.yaml:4"),
        ("  period_secs: 60.0", "/etc/1.yaml:1"),
    ]
