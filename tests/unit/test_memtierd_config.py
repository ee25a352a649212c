"""memtierd's configuration: its own files and our spelling."""

import textwrap
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import documents, schemas
from reconciler.documents import Document
from reconciler.engineconfig import (
    AgeConfig,
    Command,
    EngineConfig,
    MoverConfig,
    RoutineConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.memtierd import config, native
from reconciler.model import Severity

OWN = ("$CGROUP2_ABS_PATH",)


def read(text: str) -> config.Read:
    document = documents.parse(textwrap.dedent(text), "m.yaml")
    assert isinstance(document, Document), document
    return config.read(document, "", document.value)


def engine(text: str) -> EngineConfig:
    found = read(text)
    assert found.config is not None, found.problems
    return found.config


def said(text: str) -> list[tuple[str, str]]:
    return [(problem.severity, problem.message) for problem in read(text).problems]


def age(inner: str, **parts: str) -> str:
    """An age policy in mappings, with these lines in its config."""
    return f"policy: {{name: age, config: {{interval: 10s, {inner}}}}}"


def test_the_age_sample_of_memtierd_loads_unchanged() -> None:
    found = read("""
        policy:
          name: age
          config: |
            intervalms: 2000

            # The cgroups pidwatcher finds processes from a list of cgroup
            # directories.
            pidwatcher:
              name: cgroups
              config: |
                cgroups:
                  - /sys/fs/cgroup/track-me
            tracker:
              name: idlepage
              config: |
                pagesinregion: 512
                maxcountperregion: 1
                scanintervalms: 2000
        """)

    assert found == config.Read(
        config=EngineConfig(
            policy=AgeConfig(interval_ms=2000),
            tracker=TrackerConfig(name="idlepage", scan_interval_ms=2000),
            watcher=WatcherConfig(cgroups=("/sys/fs/cgroup/track-me",)),
        )
    )


def test_json_as_memtierds_prompt_takes_it_has_keys_in_any_case() -> None:
    tracker = r"{\"PagesInRegion\":256,\"MaxCountPerRegion\":0,\"ScanIntervalMs\":4000}"
    text = f'{{"IntervalMs":5000,"SwapOutMs":15000,"Tracker":{{"Name":"softdirty","Config":"{tracker}"}}}}'

    found = engine(f"policy:\n  name: age\n  config: |\n    {text}\n")

    assert found.policy == AgeConfig(interval_ms=5000, swapout_ms=15000)
    assert found.tracker == TrackerConfig(
        name="softdirty", pages_in_region=256, max_count_per_region=0, scan_interval_ms=4000
    )


def test_yaml_keys_in_another_case_are_a_mistake_as_in_memtierd() -> None:
    (problem,) = read("policy: {name: age, config: {intervalms: 1000, SwapOutMs: 1}}").problems

    assert (problem.message, problem.hint) == ('unknown key "SwapOutMs"', 'did you mean "swapoutms"?')


def test_missing_keys_take_the_documented_defaults() -> None:
    assert engine("policy: {name: age, config: {intervalms: 1000}}") == EngineConfig(
        policy=AgeConfig(interval_ms=1000, swapout_ms=0),
        tracker=TrackerConfig(
            name="auto", pages_in_region=512, max_count_per_region=1, scan_interval_ms=5000, regions_update_ms=10000
        ),
        mover=MoverConfig(interval_ms=10, bandwidth_mib=100),
        watcher=WatcherConfig(cgroups=OWN, interval_ms=5000),
    )


def test_units() -> None:
    found = engine("""
        policy:
          name: age
          config:
            interval: 1.5s
            swapout: 2m
            tracker: {name: auto, config: {regionsize: 4MiB, scaninterval: 30s, regionsupdate: 0s}}
            mover: {interval: 20ms, bandwidth: 1GiB/s}
        """)

    assert found.policy == AgeConfig(interval_ms=1500, swapout_ms=120_000)
    assert found.tracker == TrackerConfig(pages_in_region=1024, scan_interval_ms=30_000, regions_update_ms=0)
    assert found.mover == MoverConfig(interval_ms=20, bandwidth_mib=1024)


def test_regions_are_of_this_machines_pages() -> None:
    document = documents.parse(age("tracker: {name: auto, config: {regionsize: 2MiB}}"), "m")
    assert isinstance(document, Document)

    found = config.read(document, "", document.value, page_size=65536).config

    assert found is not None
    assert found.tracker.pages_in_region == 32


def test_swap_by_its_node_number_is_a_page_out() -> None:
    assert engine(age("idledurationms: 7000, idlenumas: [-1]")).policy == AgeConfig(interval_ms=10000, swapout_ms=7000)
    both = "idledurationms: 7000, idlenumas: [-1], swapoutms: 6000"
    assert engine(age(both)).policy == AgeConfig(interval_ms=10000, swapout_ms=6000)
    assert engine(age("idledurationms: 7000")).policy == AgeConfig(interval_ms=10000)


@pytest.mark.parametrize(
    ("runner", "command", "kept"),
    [
        ("memtier", '["policy", "-dump", "accessed", "0,1m,0"]', ("policy", "-dump", "accessed", "0,1m,0")),
        ("memtier", "[policy, -dump, accessed]", ("policy", "-dump", "accessed")),
        ("memtier", "[stats, -t, process_madvise]", ("stats", "-t", "process_madvise")),
        ("memtier-prompt", '["policy -dump accessed 0,1m,0"]', ("policy", "-dump", "accessed", "0,1m,0")),
    ],
)
def test_commands_of_the_engines_own(runner: str, command: str, kept: tuple[str, ...]) -> None:
    routine = f"routines: [{{name: statactions, config: {{intervalms: 60000, intervalcommand: {command}"

    found = engine(f"{age('')}\n{routine}, intervalcommandrunner: {runner}}}}}]")

    assert found.routines == (RoutineConfig(interval_ms=60000, command=Command(words=kept, runner="memtier")),)


@pytest.mark.parametrize(
    ("runner", "command"),
    [
        ("exec", '["sh", "-c", "echo 1 > /proc/sys/vm/drop_caches"]'),
        ("exec", '["policy", "-dump", "accessed"]'),  # a program of this name, for memtierd
        ("memtier", '["q"]'),
        ("memtier-prompt", '["stats -t process_madvise | awk 1 > $MEMTIERD_SWAP_STATS_PATH"]'),
        ("memtier-prompt", '["stats|sh"]'),
        ("memtier-prompt", '["policy \'-dump"]'),
        ("memtier", '["policy", "-config", "{}"]'),
    ],
)
def test_programs_and_shells_are_never_started(runner: str, command: str) -> None:
    routine = f"routines: [{{name: statactions, config: {{intervalms: 60000, intervalcommand: {command}"

    found = read(f"{age('')}\n{routine}, intervalcommandrunner: {runner}}}}}]")

    assert found.config is not None
    assert found.config.routines == ()
    assert [problem.severity for problem in found.problems] == [Severity.WARNING]


@pytest.mark.parametrize("word", ["heat", "ratio", "demote-idle", "avoid-oom", "stub"])
def test_policies_of_memtierd_are_known_but_not_done(word: str) -> None:
    found = read(f"policy: {{name: {word}, config: {{intervalms: 1}}}}")

    assert found.config is None
    assert found.problems[0].message == f'memtierd\'s policy "{word}" is not in this version of Ebbtide'
    assert found.problems[0].hint


@pytest.mark.parametrize("word", ["damon", "multi", "finder", "stub"])
def test_trackers_of_memtierd_are_known_but_not_done(word: str) -> None:
    assert said(age(f"tracker: {{name: {word}}}")) == [
        ("error", f'memtierd\'s tracker "{word}" is not in this version of Ebbtide')
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routines: []", 'the key "policy" is missing'),
        ("policy: {config: {intervalms: 1}}", "the policy's name is missing"),
        ("policy: {name: age}", 'the age policy\'s "intervalms" is missing'),
        ("policy: {name: age, config: 5}", "must be a mapping, or a text that holds one, not 5"),
        ('policy: {name: age, config: "5"}', "the text holds 5 where a mapping is wanted"),
        ("policy: 5", "must be a mapping, or a text that holds one, not 5"),
        ("policy: {name: 5}", "must be a text, not 5"),
        ("routines: 5\n" + age(""), "must be a list, not 5"),
        ("routines: [5]\n" + age(""), "must be a mapping, or a text that holds one, not 5"),
        (age("cgroups: [/sys/fs/cgroup/x]"), '"cgroups" does not belong directly into the policy'),
        (age("pids: [1]"), '"pids" does not belong directly into the policy'),
        (age("swapoutms: 1.5"), "must be a whole number, not 1.5"),
        (age("swapoutms: true"), "must be a whole number, not true"),
        (age("swapoutms: 99999999999999"), "99999999999999 is too large; the most is 315360000000"),
        (age("swapout: 10"), "10 has no unit"),
        (age("swapout: -1s"), "'-1s' is not a duration"),
        (age("swapoutms: 9000, swapout: 9s"), '"swapoutms" and "swapout" say the same thing twice'),
        (age("pagetypes: []"), "no page type is given"),
        (age("pagetypes: anon"), 'must be a list of texts, not the text "anon"'),
        (age("idlenumas: 2"), "must be a list of node numbers, not 2"),
        (age("mover: []"), "must be a mapping, or a text that holds one, not a list"),
        (age("mover: {bandwidth: fast}"), "'fast' is not a size"),
        (age("pidwatcher: {name: pidlist, config: {pids: [0]}}"), "must be a list of process ids, not a list"),
        (age("pidwatcher: {name: filter}"), 'pidwatcher "filter" is not in this version'),
        (age("pidwatcher: {name: cgroups, config: {cgroups: [/a/../b]}}"), "is no absolute directory"),
        (age("pidwatcher: {name: cgroups, config: {cgroups: [$CGROUP2_ABS_PATH2]}}"), "is no absolute directory"),
        (age("tracker: {name: auto, config: {samplingus: 5000}}"), 'unknown key "samplingus"'),
        (age("tracker: {name: auto, config: {regionsize: 1K}}"), 'the text "1K" is too small; the least is 4K'),
        (
            age("tracker: {name: auto, config: {regionsize: 1025MiB}}"),
            'the text "1025MiB" is too large; the most is 1G',
        ),
        (age("tracker: {name: auto, config: {pagesinregion: 262145}}"), "262145 is too large; the most is 262144"),
    ],
)
def test_errors(text: str, message: str) -> None:
    found = read(text)

    assert found.config is None
    assert message in "\n".join(problem.message for problem in found.problems if problem.severity is Severity.ERROR)


def test_a_scan_slower_than_the_swap_out_is_warned_of() -> None:
    (problem,) = read(age("swapoutms: 4999")).problems

    assert problem.severity is Severity.WARNING
    assert "looked at only every 5000 ms" in problem.message
    assert read(age("swapoutms: 5000")).problems == ()


@pytest.mark.parametrize("region", ["pagesinregion: 2", "regionsize: 8KiB"])
def test_regions_of_a_few_pages_are_warned_of(region: str) -> None:
    (problem,) = read(age(f"tracker: {{name: auto, config: {{{region}}}}}")).problems

    assert problem.severity is Severity.WARNING
    assert "regions of 2 page(s) cost the daemon 20 bytes for each page" in problem.message


@pytest.mark.parametrize("region", ["pagesinregion: 16", "regionsize: 64KiB", "regionsize: 1GiB"])
def test_regions_between_the_bounds_are_fine(region: str) -> None:
    assert read(age(f"tracker: {{name: auto, config: {{{region}}}}}")).problems == ()


def test_a_placeholder_is_never_replaced_in_text() -> None:
    found = engine(age("pidwatcher: {name: cgroups, config: {cgroups: [$CGROUP2_ABS_PATH, $CGROUP2_ABS_PATH/sub]}}"))

    assert found.watcher.cgroups == ("$CGROUP2_ABS_PATH", "$CGROUP2_ABS_PATH/sub")


EXAMPLES = schemas.read("memtierd")["examples"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_schema_agrees_with_its_own_examples_and_so_do_we(example: dict[str, Any]) -> None:
    schema = schemas.read("memtierd")
    jsonschema.Draft202012Validator.check_schema(schema)

    assert list(jsonschema.Draft202012Validator(schema).iter_errors(example)) == []
    assert config.read(Document(file="f", value=example), "", example).problems == ()


def test_class_files_embed_the_same_schema() -> None:
    assert schemas.read("classes")["$defs"]["memtierd"] == schemas.read("memtierd")


MS = st.integers(1, 10**9)
CONFIGS = st.builds(
    EngineConfig,
    policy=st.builds(
        AgeConfig,
        interval_ms=MS,
        swapout_ms=st.just(0) | st.integers(10**9, 2 * 10**9),
        page_types=st.sampled_from([("anon",), ("file",), ("anon", "file")]),
    ),
    tracker=st.builds(
        TrackerConfig,
        name=st.sampled_from(["auto", "idlepage", "softdirty", "referenced"]),
        pages_in_region=st.integers(16, 2**18),
        max_count_per_region=st.integers(0, 512),
        scan_interval_ms=MS,
        regions_update_ms=st.integers(0, 10**9),
    ),
    mover=st.builds(MoverConfig, interval_ms=MS, bandwidth_mib=st.integers(1, 2**20)),
    watcher=st.one_of(
        st.builds(WatcherConfig, cgroups=st.sampled_from([OWN, ("/a", "/b")]), interval_ms=MS).filter(
            lambda watcher: watcher.cgroups != OWN or watcher.interval_ms == 5000
        ),
        st.builds(WatcherConfig, name=st.just("pidlist"), pids=st.just((1, 77)), interval_ms=st.just(5000)),
    ),
    routines=st.lists(
        st.builds(
            RoutineConfig,
            interval_ms=MS,
            command=st.just(Command(words=("policy", "-dump", "accessed", "0,1m,0"), runner="memtier")),
        ),
        max_size=2,
    ).map(tuple),
)


@given(CONFIGS)
def test_our_spelling_reads_back_and_keeps_its_schema(wanted: EngineConfig) -> None:
    value = native.mapping(wanted)

    jsonschema.Draft202012Validator(schemas.read("memtierd")).validate(value)
    assert config.read(Document(file="f", value=value), "", value) == config.Read(config=wanted)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
WORDS = st.sampled_from(
    ["policy", "name", "config", "age", "tracker", "mover", "pidwatcher", "routines", "interval", "intervalms"]
)


@given(st.recursive(SCALARS | WORDS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner), max_leaves=12))
def test_any_value_is_a_configuration_or_problems(value: object) -> None:
    found = config.read(Document(file="f", value=value), "", value)

    assert (found.config is None) == any(problem.severity is Severity.ERROR for problem in found.problems)
