"""memtierd's configuration: its own files and our spelling."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import documents
from reconciler.documents import Document
from reconciler.engineconfig import (
    AgeConfig,
    Command,
    EngineConfig,
    MoverConfig,
    RoutineConfig,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.memtierd import config, words
from reconciler.model import Severity
from tests.unit.memtierd_texts import OWN, age, check_error, engine, read


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


@pytest.mark.parametrize(
    ("text", "said", "column"),
    [
        ('{"IntervalMs":5000,"SwapOutMs":}', "Expecting value, at character 32", 33),
        ('{"IntervalMs":5000 "SwapOutMs":1}', "Expecting ',' delimiter, at character 20", 21),
        ('{"IntervalMs":5000', "Expecting ',' delimiter, at character 19", 20),
        ('{"intervalms":5000,,}', "Expecting property name enclosed in double quotes, at character 20", 21),
    ],
)
def test_a_mistake_in_json_is_one_of_json(text: str, said: str, column: int) -> None:
    """memtierd reads it as YAML, too, and says only what YAML makes of it."""
    (problem,) = read(f"policy:\n  name: age\n  config:\n{' ' * 3}'{text}'\n").problems

    assert problem.message == f"not valid JSON: {said} of the text"
    assert (problem.line, problem.column) == (4, 3 + column)


def test_what_is_no_json_may_be_yaml() -> None:
    assert engine("policy: {name: age, config: '{\"intervalms\": 5000, swapout: 9s,}'}").policy == AgeConfig(
        interval_ms=5000, swapout_ms=9000
    )


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


def test_a_file_of_routines_alone_has_the_policy_that_moves_nothing() -> None:
    found = engine("routines: [{name: statactions, config: {interval: 1s, intervalcommand: [date]}}]")

    assert found == EngineConfig(
        policy=StubConfig(),
        tracker=TrackerConfig(name="stub"),
        watcher=WatcherConfig(cgroups=OWN),
        routines=(RoutineConfig(interval_ms=1000, command=Command(words=("date",))),),
    )


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
        ("policy: {name: avoid}", 'unknown policy "avoid"'),
        ("polocy: {name: age}", 'unknown key "polocy"'),
        (age("swapoutms: 1.5"), "must be a whole number, not 1.5"),
        (age("swapoutms: true"), "must be a whole number, not true"),
        (age("swapoutms: 99999999999999"), "99999999999999 is too large; the most is 315360000000"),
        (age("swapout: 10"), "10 has no unit"),
        (age("swapout: -1s"), "'-1s' is not a duration"),
        (age("swapoutms: 9000, swapout: 9s"), '"swapoutms" and "swapout" say the same thing twice'),
        (age("pagetypes: []"), "no page type is given"),
        (age("pagetypes: anon"), 'must be a list of texts, not the text "anon"'),
        (age("mover: []"), "must be a mapping, or a text that holds one, not a list"),
        (age("mover: {bandwidth: fast}"), "'fast' is not a size"),
    ],
)
def test_errors(text: str, message: str) -> None:
    check_error(text, message)


@pytest.mark.parametrize("swapout", ["swapoutms: 4999", "swapout: 4s", "idledurationms: 4999, idlenumas: [-1]"])
def test_a_scan_slower_than_the_swap_out_is_warned_of(swapout: str) -> None:
    (problem,) = read(age(swapout)).problems

    assert problem.severity is Severity.WARNING
    assert problem.pointer.rpartition("/")[2] == swapout.partition(":")[0]
    assert "looked at only every 5000 ms" in problem.message
    assert read(age("swapoutms: 5000")).problems == ()


def test_a_scan_slower_than_demotion_is_warned_of() -> None:
    (problem,) = read(age("idleduration: 2s, idlenumas: [1]")).problems

    assert "memory is moved after 2000 ms without access" in problem.message


def test_a_placeholder_is_never_replaced_in_text() -> None:
    found = engine(age("pidwatcher: {name: cgroups, config: {cgroups: [$CGROUP2_ABS_PATH, $CGROUP2_ABS_PATH/sub]}}"))

    assert found.watcher.cgroups == ("$CGROUP2_ABS_PATH", "$CGROUP2_ABS_PATH/sub")


def test_one_part_alone_as_the_prompt_takes_it() -> None:
    assert config.read_named(words.TRACKERS, "finder", '{"ReportAccesses": 3}').value == TrackerConfig(
        name="finder", regions_update_ms=5000, finder=engine(FINDER).tracker.finder
    )
    assert config.read_named(words.PIDWATCHERS, "pidlist", "pids: [7]").value == WatcherConfig(
        name="pidlist", pids=(7,)
    )
    assert config.read_mover("bandwidth: 200").value == MoverConfig(bandwidth_mib=200)
    found = config.read_named(words.ROUTINES, "statactions", "intervalms: 5\nintervalcommand: [date]")
    assert found.value == RoutineConfig(interval_ms=5, command=Command(words=("date",)))
    policy = config.read_named(words.POLICIES, "stub", "").value
    assert isinstance(policy, EngineConfig)
    assert policy.policy == StubConfig()


FINDER = "policy: {name: stub, config: {tracker: {name: finder, config: {reportaccesses: 3}}}}"


def test_one_part_alone_with_a_mistake() -> None:
    found = config.read_named(words.TRACKERS, "idlepage", "pagesinregoin: 3")

    assert found.value is None
    assert found.problems[0].hint == 'did you mean "pagesinregion"?'
    assert config.read_named(words.TRACKERS, "idelpage", "").problems[0].hint == 'did you mean "idlepage"?'
    assert config.read_mover("{").value is None


def test_settings_in_settings_end_somewhere() -> None:
    text = "procexeregexp: x"
    for _ in range(30):
        text = "not: |\n" + textwrap.indent(text, " ")
    filters = f"source: {{name: proc}}\nfilters:\n- {textwrap.indent(text, '  ').strip()}"
    found = config.read_named(words.PIDWATCHERS, "filter", filters)

    assert [problem.message for problem in found.problems] == ["more than 24 levels of settings in settings"]


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
NAMES = (words.POLICIES, words.TRACKERS, words.PIDWATCHERS, words.FORECASTERS, words.ROUTINES)
KEYS = (
    *("policy", "routines", "name", "config", "tracker", "trackers", "pidwatcher", "source", "filters", "forecasters"),
    *(key for keys in words.POLICY_KEYS.values() for key in keys),
    *(*words.COMMON_KEYS, *words.DIRECT_KEYS, *words.HEATMAP_KEYS, *words.GOAL_KEYS, *words.MOVER_KEYS),
    *(*words.TRACKER_KEYS, *words.DAMON_KEYS, *words.DAMON_SWITCHES, *words.FINDER_KEYS, *words.FILTER_KEYS),
    *(key for keys in (*words.WATCHER_KEYS.values(), *words.FORECASTER_KEYS.values()) for key in keys),
    *(*words.ROUTINE_KEYS, *words.NATIVE.values()),
)
WORDS = st.sampled_from([*KEYS, *(name for kind in NAMES for name in kind.names), "10s", "5%", "1G", "0", "-1"])


def shaped(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Lists, mappings with keys that somebody knows, and named parts."""
    mapping = st.dictionaries(WORDS, inner, max_size=4)
    named = [st.fixed_dictionaries({"name": st.sampled_from(kind.names), "config": mapping | inner}) for kind in NAMES]
    return st.lists(inner, max_size=3) | mapping | st.one_of(named)


ANY = st.recursive(ANYTHING | WORDS, shaped, max_leaves=12)


@pytest.mark.parametrize("kind", NAMES, ids=lambda kind: kind.title)
@given(data=st.data())
def test_any_value_is_a_configuration_or_problems(kind: words.Kind, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(kind.names))
    inner = {"name": name, "config": data.draw(ANY | st.dictionaries(WORDS, ANY, max_size=5))}
    inner = inner if kind is words.POLICIES else {"name": "heat", "config": {"intervalms": 1, kind.title: inner}}
    value = data.draw(ANY | st.just({"policy": inner}) | st.just({"policy": {"name": "stub"}, "routines": [inner]}))

    found = config.read(Document(file="f", value=value), "", value)

    assert (found.config is None) == any(problem.severity is Severity.ERROR for problem in found.problems)
