"""Our own spelling: what is printed is read again as it was, and keeps the schema."""

from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import schemas, tracking
from reconciler.documents import Document
from reconciler.engineconfig import (
    MEASURED,
    SWAP,
    AgeConfig,
    AvoidOomConfig,
    Command,
    DamonConfig,
    DamosConfig,
    DamosGoal,
    DemoteIdleConfig,
    EngineConfig,
    FilterConfig,
    FinderConfig,
    ForecasterConfig,
    HeatConfig,
    HeatmapConfig,
    MoverConfig,
    NodeSize,
    PolicyConfig,
    RatioConfig,
    RoutineConfig,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
    Watermark,
)
from reconciler.memtierd import config, native, words
from tests.unit.memtierd_texts import OWN

SCHEMA = schemas.read("memtierd")
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EXAMPLES = SCHEMA["examples"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_schema_agrees_with_its_own_examples_and_so_do_we(example: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert list(VALIDATOR.iter_errors(example)) == []
    assert config.read(Document(file="f", value=example), "", example).problems == ()


def test_class_files_embed_the_same_schema() -> None:
    assert schemas.read("classes")["$defs"]["memtierd"] == SCHEMA


def settings_of(name: str) -> set[str]:
    return set(SCHEMA["$defs"][name]["properties"])


def test_the_schema_knows_every_key_and_no_other() -> None:
    policies = {"demote-idle": "demoteidle", "avoid-oom": "avoidoom", "stub": "stubpolicy"}
    watchers = {"cgroups": "cgroupswatcher", "filter": "filterwatcher", "stub": "proc"}
    old = (*words.TRACKER_SPEED_KEYS, *words.TRACKER_BROKEN_KEYS)
    scanning = {*words.with_native(words.TRACKER_KEYS), *old}

    for name in words.POLICIES.names:
        assert settings_of(policies.get(name, name)) == set(words.policy_keys(name)), name
    for name, keys in words.WATCHER_KEYS.items():
        assert settings_of(watchers.get(name, name)) == set(words.with_native(keys)), name
    for name, keys in words.FORECASTER_KEYS.items():
        assert settings_of({"stub": "nothing"}.get(name, name)) == set(words.with_native(keys)), name
    damon = (*words.DAMON_KEYS, *words.DAMON_GRID_KEYS, *words.DAMON_SWITCHES)
    assert settings_of("damon") == set(words.with_native(damon))
    assert settings_of("finder") == set(words.with_native(words.FINDER_KEYS))
    assert settings_of("scanning") == scanning
    assert settings_of("auto") == scanning | set(words.DAMON_SWITCHES)
    assert settings_of("statactions") == set(words.with_native(words.ROUTINE_KEYS))
    assert settings_of("filter") == set(words.with_native(words.FILTER_KEYS))
    assert settings_of("moverconfig") == set(words.with_native(words.MOVER_KEYS))


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (words.POLICIES, "policy"),
        (words.TRACKERS, "tracker"),
        (words.PIDWATCHERS, "pidwatcher"),
        (words.FORECASTERS, "forecaster"),
        (words.ROUTINES, "routine"),
    ],
)
def test_the_schema_knows_every_name(kind: words.Kind, part: str) -> None:
    assert set(SCHEMA["$defs"][part]["properties"]["name"]["enum"]) == set(kind.names)


# -- any configuration at all ----------------------------------------------------------------------------------------

MS = st.integers(1, 10**9)
MAYBE_MS = st.just(0) | MS
SLOW_MS = st.integers(10**9, 2 * 10**9)  # no scan is slower
BYTES = st.integers(0, 2**50)
NODES = st.lists(st.integers(0, 1023), min_size=1, max_size=3, unique=True).map(tuple)
NODES_AND_SWAP = st.lists(st.integers(SWAP, 9), min_size=1, max_size=3, unique=True).map(tuple)
PERCENT = st.integers(0, 100).map(float) | st.sampled_from([0.5, 12.25])
PAGES = st.sampled_from([("anon",), ("file",), ("anon", "file")])
SIZES = st.builds(lambda size: {"size_bytes": size}, BYTES) | st.builds(lambda part: {"percent": part}, PERCENT)
PATHS = st.sampled_from([("/a",), ("/sys/fs/cgroup/b", "$CGROUP2_ABS_PATH/c")])
WORD = st.text("abc/$ -'\"{}:é", min_size=1, max_size=6)


@st.composite
def ages(draw: st.DrawFn) -> AgeConfig:
    idle_nodes = draw(NODES_AND_SWAP.filter(lambda nodes: nodes != (SWAP,)) | st.just(()))
    active_nodes = draw(NODES | st.just(()))
    return AgeConfig(
        interval_ms=draw(MS),
        page_types=draw(PAGES),
        swapout_ms=draw(st.just(0) | SLOW_MS),
        idle_ms=draw(SLOW_MS) if idle_nodes else 0,
        idle_nodes=idle_nodes,
        active_ms=draw(MS) if active_nodes else 0,
        active_nodes=active_nodes,
    )


FORECASTERS = st.recursive(
    st.builds(ForecasterConfig)
    | st.builds(ForecasterConfig, name=st.just("trace"), file=st.just("/a b"), hide_heat_zero=st.booleans())
    | st.builds(
        ForecasterConfig,
        name=st.just("stdio"),
        command=st.lists(WORD, min_size=1, max_size=3).map(tuple),
        stderr=st.sampled_from(["", "/x"]),
        retries=st.integers(0, 5),
        deadline_ms=MS,
    ),
    lambda inner: st.builds(
        ForecasterConfig, name=st.just("chain"), forecasters=st.lists(inner, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=4,
)


@st.composite
def heats(draw: st.DrawFn) -> HeatConfig:
    classes = draw(st.integers(1, 20))
    number = st.floats(0, 1, exclude_min=True)
    nodes = draw(st.dictionaries(st.integers(0, classes - 1), NODES_AND_SWAP, max_size=3))
    sizes = draw(st.dictionaries(st.integers(SWAP, 9), SIZES, max_size=3))
    return HeatConfig(
        interval_ms=draw(MS),
        page_types=draw(PAGES),
        heatmap=HeatmapConfig(heat_max=draw(number), retention=draw(number), classes=classes),
        nodes=tuple(sorted(nodes.items())),
        node_sizes=tuple(NodeSize(node=node, **sizes[node]) for node in sorted(sizes)),
        forecaster=draw(st.none() | FORECASTERS),
    )


@st.composite
def avoid_ooms(draw: st.DrawFn) -> AvoidOomConfig:
    low, high = sorted(draw(st.lists(BYTES, min_size=2, max_size=2, unique=True)))
    few, many = sorted(draw(st.lists(PERCENT, min_size=2, max_size=2, unique=True)))
    start = draw(st.sampled_from([Watermark(size_bytes=low), Watermark(percent=few)]))
    stop = draw(st.sampled_from([Watermark(size_bytes=high), Watermark(percent=many)]))
    cgroups = draw(st.just(()) | PATHS)
    return AvoidOomConfig(interval_ms=draw(MS), page_types=draw(PAGES), start=start, stop=stop, cgroups=cgroups)


@st.composite
def damoses(draw: st.DrawFn) -> DamosConfig:
    action = draw(st.sampled_from(words.DAMOS_ACTIONS))
    few, many = sorted([draw(PERCENT), draw(PERCENT)])
    small, big = sorted([draw(BYTES), draw(BYTES)])
    physical = draw(st.booleans()) or action.startswith("lru_")
    both = st.just(("anon", "file"))
    return DamosConfig(
        interval_ms=draw(MS),
        page_types=draw(PAGES if physical or action not in words.DAMOS_ADVICE else both),
        action=action,
        nodes=draw(NODES) if action.startswith("migrate_") else (),
        min_bytes=small,
        max_bytes=draw(st.sampled_from([0, big])),
        min_access_percent=few,
        max_access_percent=many,
        min_age_ms=draw(MAYBE_MS),
        quota_bytes=draw(BYTES),
        quota_ms=draw(MAYBE_MS),
        quota_interval_ms=draw(MS),
        goals=draw(
            st.sampled_from(
                [
                    (),
                    (
                        DamosGoal(metric="some_mem_psi_us", target=10_000),
                        DamosGoal(metric="node_memcg_used_bp", target=1, node=0, path="/b"),
                    ),
                ]
            )
        ),
        young=draw(st.booleans()),
        physical=physical,
    )


POLICIES: st.SearchStrategy[PolicyConfig] = st.one_of(
    ages(),
    heats(),
    st.builds(
        RatioConfig,
        interval_ms=MS,
        page_types=PAGES,
        ratio=st.floats(0, 1, exclude_min=True),
        targets=NODES_AND_SWAP,
    ),
    st.builds(
        DemoteIdleConfig,
        interval_ms=MS,
        page_types=PAGES,
        idle_nodes=NODES_AND_SWAP,
        pages_of_interest_directory=st.sampled_from(["", "/run/p"]),
    ),
    avoid_ooms(),
    damoses(),
    st.builds(StubConfig, interval_ms=MS, page_types=PAGES),
)

REGIONS = st.integers(16, 2**18)
SCANNING = st.builds(
    TrackerConfig,
    name=st.sampled_from(["auto", "idlepage", "mglru", "referenced", "softdirty"]),
    pages_in_region=REGIONS,
    max_count_per_region=st.integers(0, 512),
    scan_interval_ms=MS,
    regions_update_ms=MAYBE_MS,
)
DAMONS = st.builds(
    TrackerConfig,
    name=st.just("damon"),
    pages_in_region=REGIONS,
    max_count_per_region=st.integers(0, 512),
    scan_interval_ms=MS,
    damon=st.builds(
        DamonConfig,
        sampling_us=st.integers(1, 10**6),
        aggregation_us=st.integers(10**6, 10**9),
        regions_update_us=st.integers(1, 10**9),
        min_regions=st.integers(3, 10),
        max_regions=st.integers(10, 2000),
        range_size_max=st.just(-1) | st.integers(1, 2**50),
        kdamonds=st.sampled_from([(), (0,), (1, 0)]),
        nr_kdamonds=st.sampled_from([0, 2]),
        auto_tune=st.booleans(),
        page_exact=st.booleans(),
        pause_damon_stat=st.booleans(),
    ),
)
FINDERS = st.builds(
    TrackerConfig,
    name=st.just("finder"),
    pages_in_region=REGIONS,
    scan_interval_ms=MS,
    regions_update_ms=MAYBE_MS,
    finder=st.builds(
        FinderConfig,
        accesses=st.integers(0, 2**32 - 1),
        present=st.none() | st.booleans(),
        exclusive=st.none() | st.booleans(),
        soft_dirty=st.none() | st.booleans(),
    ),
)
CONSENTING = st.builds(
    TrackerConfig, damon=st.just(DamonConfig(sampling_us=50_000, aggregation_us=10**6, pause_damon_stat=True))
)
SINGLE = SCANNING | DAMONS | FINDERS | CONSENTING | st.just(TrackerConfig(name="stub"))


def several(trackers: list[TrackerConfig]) -> TrackerConfig:
    return TrackerConfig(
        name="multi",
        pages_in_region=min(each.pages_in_region for each in trackers),
        scan_interval_ms=min(each.scan_interval_ms for each in trackers),
        regions_update_ms=min(each.regions_update_ms for each in trackers),
        trackers=tuple(trackers),
    )


TRACKERS = SINGLE | st.lists(SINGLE, min_size=1, max_size=3).map(several)

FILTERS = st.recursive(
    st.builds(
        FilterConfig,
        exe_regexp=st.sampled_from(["", "redis$", "a|b"]),
        min_vm_size_kb=st.integers(0, 2**40),
        min_vm_rss_kb=st.integers(0, 2**40),
        min_private_dirty_kb=st.integers(1, 2**40),
    ),
    lambda inner: st.builds(
        FilterConfig,
        exe_regexp=st.just("x"),
        all_of=st.lists(inner, max_size=2).map(tuple),
        any_of=st.lists(inner, max_size=2).map(tuple),
        none_of=st.lists(inner, max_size=1).map(tuple),
    ),
    max_leaves=4,
)
WATCHERS = st.recursive(
    st.builds(WatcherConfig, name=st.sampled_from(["proc", "stub"]), interval_ms=MS)
    | st.builds(WatcherConfig, cgroups=st.just(OWN) | PATHS, interval_ms=MS)
    | st.builds(WatcherConfig, name=st.just("pidlist"), pids=st.just((1, 77)), interval_ms=MS),
    lambda inner: st.builds(
        WatcherConfig,
        name=st.just("filter"),
        source=inner,
        filters=st.lists(FILTERS, min_size=1, max_size=2).map(tuple),
        interval_ms=MS,
    ),
    max_leaves=2,
)

COMMANDS = st.builds(
    Command, words=st.lists(WORD.filter(str.strip), min_size=1, max_size=3).map(tuple)
) | st.sampled_from(
    [
        Command(words=("policy", "-dump", "accessed", "0,1m,0"), runner="memtier"),
        Command(words=("stats | grep 'a b'",), runner="memtier-prompt"),
    ]
)

STAMPS = st.sampled_from(["", *words.TIMESTAMPS, "rfc3339 ", "15:04:05 unix.milli\n"])


@st.composite
def routines(draw: st.DrawFn) -> RoutineConfig:
    paged_out = draw(st.none() | COMMANDS)
    return RoutineConfig(
        interval_ms=draw(MS),
        command=draw(COMMANDS | st.none()) if paged_out else draw(COMMANDS),
        pageout_mib=draw(st.integers(0, 2**20)) if paged_out else 0,
        pageout_command=paged_out,
        timestamp=draw(STAMPS),
        timestamp_after=draw(STAMPS),
    )


@st.composite
def configs(draw: st.DrawFn) -> EngineConfig:
    policy, tracker = draw(POLICIES), draw(TRACKERS)
    if isinstance(policy, DemoteIdleConfig):  # other intervals are warned of
        tracker = replace(tracker, scan_interval_ms=policy.interval_ms)
    usual = native.usual_watcher(policy)
    watcher = draw(st.just(usual) | WATCHERS)
    wanted = EngineConfig(
        policy=policy,
        tracker=tracker,
        mover=MoverConfig(interval_ms=draw(MS), bandwidth_mib=draw(st.integers(1, 2**20))),
        watcher=usual if isinstance(policy, AvoidOomConfig) and policy.cgroups else watcher,
        routines=tuple(draw(st.lists(routines(), max_size=2))),
    )
    if tracking.unfit(wanted):
        fits = "damon" if isinstance(policy, DamosConfig) else "idlepage"
        looks = policy.interval_ms if isinstance(policy, DemoteIdleConfig) else 5000
        fitting = TrackerConfig(name=fits, scan_interval_ms=looks)
        return EngineConfig(policy=policy, tracker=fitting, watcher=wanted.watcher)
    return wanted


@given(configs())
def test_our_spelling_reads_back_and_keeps_its_schema(wanted: EngineConfig) -> None:
    value = native.mapping(wanted)

    VALIDATOR.validate(value)
    assert config.read(Document(file="f", value=value), "", value) == config.Read(config=wanted)


def test_filters_of_several_negations_mean_the_same() -> None:
    several_negated = FilterConfig(none_of=(FilterConfig(exe_regexp="a"), FilterConfig(exe_regexp="b")))
    value = native.watcher(WatcherConfig(name="filter", source=WatcherConfig(name="proc"), filters=(several_negated,)))

    assert value["config"]["filters"] == [{"and": [{"not": {"procexeregexp": "b"}}], "not": {"procexeregexp": "a"}}]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (1, "1ms"), (1500, "1500ms"), (90_000, "90s"), (3_600_000, "1h"), (172_800_000, "2d")],
)
def test_durations_are_in_the_biggest_unit_without_a_rest(milliseconds: int, text: str) -> None:
    assert native.duration(milliseconds) == text


def test_who_names_no_interval_of_damon_gets_the_measured_ones() -> None:
    assert TrackerConfig().damon == MEASURED
    assert (MEASURED.sampling_us, MEASURED.aggregation_us) == (50_000, 1_000_000)
    assert (DamonConfig().sampling_us, DamonConfig().aggregation_us) == (5000, 100_000)
