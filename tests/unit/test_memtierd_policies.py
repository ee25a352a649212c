"""The policies' own settings, in memtierd's spelling and in ours."""

import pytest

from reconciler.engineconfig import (
    AgeConfig,
    AvoidOomConfig,
    DamosConfig,
    DamosGoal,
    DemoteIdleConfig,
    ForecasterConfig,
    HeatConfig,
    HeatmapConfig,
    NodeSize,
    PolicyConfig,
    RatioConfig,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
    Watermark,
)
from reconciler.model import Severity
from tests.unit.memtierd_texts import OWN, age, check_error, engine, policy, read, said

TEN = 10_000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (age("idledurationms: 15000, idlenumas: [2, 3]"), AgeConfig(interval_ms=TEN, idle_ms=15000, idle_nodes=(2, 3))),
        (age("idleduration: 15s, idlenumas: [3, 3]"), AgeConfig(interval_ms=TEN, idle_ms=15000, idle_nodes=(3,))),
        (age("idleduration: 9s, idlenumas: [2, -1]"), AgeConfig(interval_ms=TEN, idle_ms=9000, idle_nodes=(2, -1))),
        (age("activedurationms: 9, activenumas: [0]"), AgeConfig(interval_ms=TEN, active_ms=9, active_nodes=(0,))),
        (age("idledurationms: 7000, idlenumas: [-1]"), AgeConfig(interval_ms=TEN, swapout_ms=7000)),
        (
            age("idledurationms: 7000, idlenumas: [-1], swapoutms: 6000"),
            AgeConfig(interval_ms=TEN, swapout_ms=6000),
        ),
        (age("pagetypes: [file, anon]"), AgeConfig(interval_ms=TEN, page_types=("anon", "file"))),
        (policy("heat"), HeatConfig(interval_ms=TEN)),
        (
            policy(
                "heat", "heatmap: {heatmax: 0.01, heatretention: 0.8, heatclasses: 4}, heatnumas: {3: [0], 0: [2, -1]}"
            ),
            HeatConfig(
                interval_ms=TEN,
                heatmap=HeatmapConfig(heat_max=0.01, retention=0.8, classes=4),
                nodes=((0, (2, -1)), (3, (0,))),
            ),
        ),
        (
            policy("heat", "numasize: {0: 1G, 1: 200m, 2: 1.5 GiB, 3: 12.5%, 4: '4096', 5: 4KB, -1: 9T}"),
            HeatConfig(
                interval_ms=TEN,
                node_sizes=(
                    NodeSize(node=-1, size_bytes=9 << 40),
                    NodeSize(node=0, size_bytes=1 << 30),
                    NodeSize(node=1, size_bytes=200 << 20),
                    NodeSize(node=2, size_bytes=3 << 29),
                    NodeSize(node=3, percent=12.5),
                    NodeSize(node=4, size_bytes=4096),
                    NodeSize(node=5, size_bytes=4096),
                ),
            ),
        ),
        ("policy: {name: ratio, config: {ratio: 0.3}}", RatioConfig(ratio=0.3, targets=(-1,))),
        (policy("ratio", "ratio: 30%, ratiotargets: [2]"), RatioConfig(interval_ms=TEN, ratio=0.3, targets=(2,))),
        (
            policy("demote-idle", "idlenumas: [2], pagesofinterestdir: /run/poi"),
            DemoteIdleConfig(interval_ms=TEN, idle_nodes=(2,), pages_of_interest_directory="/run/poi"),
        ),
        ("policy: {name: avoid-oom}", AvoidOomConfig()),
        (
            policy("avoid-oom", "startfreeingmemory: 5%, stopfreeingmemory: 7%, cgroups: [/a]"),
            AvoidOomConfig(interval_ms=TEN, start=Watermark(percent=5), stop=Watermark(percent=7), cgroups=("/a",)),
        ),
        (
            policy("avoid-oom", "startfreeingmemory: 1 GB, stopfreeingmemory: 2g"),
            AvoidOomConfig(interval_ms=TEN, start=Watermark(size_bytes=1 << 30), stop=Watermark(size_bytes=2 << 30)),
        ),
        ("policy: {name: damos}", DamosConfig()),
        (
            policy(
                "damos",
                "action: migrate_cold, numas: [2], minsize: 64K, maxsize: 1G, minaccess: 0%, maxaccess: 5%, minage: 2m,"
                " quotasize: 100M, quotatime: 10ms, quotainterval: 5s, young: true,"
                " goals: [{metric: node_memcg_used_bp, target: 9000, numa: 0, path: /b}]",
            ),
            DamosConfig(
                interval_ms=TEN,
                action="migrate_cold",
                nodes=(2,),
                min_bytes=65536,
                max_bytes=1 << 30,
                max_access_percent=5,
                min_age_ms=120_000,
                quota_bytes=100 << 20,
                quota_ms=10,
                quota_interval_ms=5000,
                young=True,
                goals=(DamosGoal(metric="node_memcg_used_bp", target=9000, node=0, path="/b"),),
            ),
        ),
        ("policy: {name: stub}", StubConfig()),
    ],
)
def test_what_is_read(text: str, wanted: PolicyConfig) -> None:
    found = read(text)

    assert found.config is not None, found.problems
    assert (found.config.policy, found.problems) == (wanted, ())


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (age("idlenumas: 2"), "must be a list of node numbers, not 2", "idlenumas: [2, 3]"),
        (age("idlenumas: [two]"), 'must be a list of node numbers, not a list with the text "two"', "[2, 3]"),
        (age("idlenumas: [2, -2]"), "-2 is no node number; the least is -1", "[2, 3]"),
        (age("activenumas: [-1], activeduration: 9s"), "memory in use would go to swap", "name NUMA nodes"),
        ("policy: {name: heat}", 'the heat policy\'s "intervalms" is missing', "interval: 10s"),
        (policy("heat", "heatnumas: [2]"), "must be a mapping", "indent"),
        (policy("heat", "heatnumas: {10: [0]}"), '"10" is no heat class; with heatclasses 10 they are 0 to 9', "{0:"),
        (policy("heat", "heatnumas: {0: 2}"), "must be a list of node numbers", "for example 0: [2, 3]"),
        (policy("heat", "heatnumas: {hot: [2]}"), '"hot" is no heat class', "{0:"),
        (policy("heat", "heatmap: {heatclasses: 0}"), "0 is too small; the least is 1", "10"),
        (policy("heat", "heatmap: {heatretention: 1.5}"), "1.5 is too large; the most is 1", "0.9513"),
        (policy("heat", "heatmap: {heatmax: 0}"), "0 is too small; it must be more than 0", "heatmax: 1"),
        (policy("heat", "heatmap: {HeatMax: 1}"), 'unknown key "HeatMax"', '"heatmax"'),
        (policy("heat", "numasize: {0: much}"), "'much' is not a size", "for example 0: 1G"),
        (policy("heat", "numasize: {0: 5}"), "5 has no unit", "1G"),
        (policy("heat", "numasize: {0: 101%}"), "too large; the most is 100%", "10%"),
        (policy("heat", "numasize: {zero: 1G}"), '"zero" is no node number', "{0: 1G"),
        (policy("heat", "forecaster: {name: bones}"), 'unknown forecaster "bones"', "chain, stdio, stub, trace"),
        (policy("heat", "forecaster: {name: stdio}"), 'the forecaster\'s "command" is missing', "command: ["),
        (policy("heat", "forecaster: {name: trace}"), 'the forecaster\'s "file" is missing', "file: /"),
        (policy("heat", "forecaster: {name: trace, config: {file: x}}"), "is no absolute path", "/var"),
        (policy("heat", "forecaster: {name: chain}"), 'the chain\'s "forecasters" are missing', "stdio"),
        (policy("heat", "forecaster: {name: stdio, config: {command: [x], stderr: /x}}"), "file: and an", "file:/var"),
        (policy("ratio"), 'the ratio policy\'s "ratio" is missing', "30%"),
        (policy("ratio", "ratio: 30"), "30 is too large; the most is 1", "0.3"),
        (policy("ratio", "ratio: 0%"), "0% is too small", "30%"),
        (policy("ratio", "ratio: most"), 'the text "most" is no percentage', "ratio: 10%"),
        (policy("ratio", "ratio: 0.5, ratiotargets: -1"), "must be a list of node numbers", "[2, 3]"),
        (policy("demote-idle"), 'the demote-idle policy\'s "idlenumas" is missing', "[2]"),
        (policy("demote-idle", "idlenumas: []"), '"idlenumas" is missing', "[2]"),
        (policy("demote-idle", "idlenumas: [2], pagesofinterestdir: poi"), "is no absolute directory", "/run"),
        (policy("avoid-oom", "startfreeingmemory: 20%"), "start at 20% available and stop at 16%", "larger"),
        (policy("avoid-oom", "startfreeingmemory: 2G, stopfreeingmemory: 1G"), "start at 2G", "larger"),
        (policy("avoid-oom", "startfreeingmemory: 8"), "8 has no unit", "8%"),
        (policy("avoid-oom", "stopfreeingmemory: 8 percent"), "is not a size", "16%"),
        (policy("damos", "action: pagout"), 'unknown action "pagout"', '"pageout"'),
        (policy("damos", "action: migrate_cold"), 'migrate_cold needs "numas"', "numas: [2]"),
        (policy("damos", "numas: [2]"), "pageout moves nothing to other nodes", "migrate_cold"),
        (policy("damos", "action: lru_prio"), "lru_prio works on physical memory only", "physical: true"),
        (policy("damos", "pagetypes: [file]"), "pageout takes anonymous memory of processes, too", "physical: true"),
        (
            policy("damos", "pagetypes: [file], action: cold"),
            "cold takes anonymous memory of processes",
            "[anon, file]",
        ),
        (policy("damos", "minsize: 2M, maxsize: 1M"), "is smaller than minsize", "at least"),
        (policy("damos", "minaccess: 5%"), "is more than maxaccess", "100%"),
        (policy("damos", "minaccess: 5"), "5 is no percentage", "%"),
        (policy("damos", "goals: [{metric: some_mem_psi}]"), 'unknown metric "some_mem_psi"', "some_mem_psi_us"),
        (policy("damos", "goals: [{metric: some_mem_psi_us}]"), 'the goal\'s "target" is missing', "target"),
        (policy("damos", "goals: [{metric: node_mem_used_bp, target: 1}]"), 'needs "numa"', "numa: 0"),
        (policy("damos", "goals: [{metric: node_memcg_used_bp, target: 1, numa: 0}]"), 'needs "path"', "/batch"),
        (policy("damos", "young: 1"), "must be true or false, not 1", "true"),
        (policy("stub", "swapoutms: 5"), 'unknown key "swapoutms"', "known here"),
    ],
)
def test_errors(text: str, message: str, hint: str) -> None:
    check_error(text, message, hint)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("idledurationms: 7000", '"idledurationms" has no effect without "idlenumas"'),
        ("idleduration: 7s", '"idleduration" has no effect without "idlenumas"'),
        ("activenumas: [0]", '"activenumas" has no effect without "activedurationms"'),
    ],
)
def test_half_of_a_demotion_is_noted(settings: str, message: str) -> None:
    assert said(age(settings)) == [("note", message)]


@pytest.mark.parametrize(
    ("name", "settings", "tracker"),
    [
        ("age", "", TrackerConfig()),
        ("heat", "", TrackerConfig()),
        ("ratio", "ratio: 1", TrackerConfig()),
        ("demote-idle", "idlenumas: [2]", TrackerConfig(name="idlepage", scan_interval_ms=TEN)),
        ("avoid-oom", "", TrackerConfig(name="stub")),
        ("damos", "", TrackerConfig(name="damon")),
        ("stub", "", TrackerConfig(name="stub")),
    ],
)
def test_the_tracker_of_a_policy_that_names_none(name: str, settings: str, tracker: TrackerConfig) -> None:
    assert engine(policy(name, settings)).tracker == tracker


@pytest.mark.parametrize(
    ("tracker", "looks", "warned"),
    [
        ("{name: idlepage}", TEN, []),
        ("{name: idlepage, config: {pagesinregion: 256}}", TEN, []),
        ("{name: auto, config: {scaninterval: 10s}}", TEN, []),
        ("{name: idlepage, config: {scanintervalms: 2000}}", 2000, ["marks are looked at every 2000 ms"]),
        ("{name: auto, config: {scanintervalms: 30000}}", 30_000, ["marks are looked at every 30000 ms"]),
    ],
)
def test_idle_marks_are_looked_at_once_an_interval_of_demote_idle(tracker: str, looks: int, warned: list[str]) -> None:
    text = policy("demote-idle", f"idlenumas: [2], tracker: {tracker}")

    assert engine(text).tracker.scan_interval_ms == looks
    found = said(text)
    assert [severity for severity, _ in found] == ["warning"] * len(warned)
    assert all(message.startswith(start) for (_, message), start in zip(found, warned, strict=True))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (age("swapout: 9s, tracker: {name: mglru}"), "not where"),
        (policy("heat", "tracker: {name: stub}"), "tracks nothing"),
        (policy("damos", "tracker: {name: idlepage}"), "its tracker is damon"),
        (policy("demote-idle", "idlenumas: [2], tracker: {name: damon}"), "idle marks"),
        (age("tracker: {name: multi, config: {trackers: [{name: idlepage}, {name: auto}]}}"), "that are named"),
    ],
)
def test_a_tracker_that_cannot_serve_the_policy_is_refused(text: str, reason: str) -> None:
    check_error(text, reason, "with this policy: auto, ")
    assert read(text).problems[0].pointer == "/policy/config/tracker/name"


def test_whose_memory_directly_in_the_policy() -> None:
    found = read(age("cgroups: [/sys/fs/cgroup/x]"))

    assert found.config is not None
    assert found.config.watcher == WatcherConfig(cgroups=("/sys/fs/cgroup/x",))
    assert [problem.severity for problem in found.problems] == [Severity.NOTE]
    assert engine(policy("heat", "pids: [1, 2]")).watcher == WatcherConfig(name="pidlist", pids=(1, 2))


def test_avoid_oom_has_cgroups_of_its_own() -> None:
    found = read(policy("avoid-oom", "cgroups: [/a]"))

    assert found.problems == ()
    assert found.config is not None
    assert found.config.watcher == WatcherConfig(cgroups=("/a",))
    assert engine("policy: {name: avoid-oom}").watcher == WatcherConfig(cgroups=OWN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("cgroups: [/a], pidwatcher: {name: proc}", '"cgroups" and "pidwatcher" both say whose memory it is'),
        ("pids: [1], pidwatcher: {name: proc}", '"pids" and "pidwatcher" both say whose memory it is'),
        ("pids: [1], cgroups: [/a]", '"cgroups" and "pids" both say whose memory it is'),
    ],
)
def test_whose_memory_is_said_once(settings: str, message: str) -> None:
    check_error(age(settings), message, "remove one")


def test_forecasters() -> None:
    chain = """
        policy:
          name: heat
          config: |
            intervalms: 1000
            forecaster:
              name: chain
              config: |
                forecasters:
                  - name: stdio
                    config: |
                      command: [/bin/forecast, -n, 3]
                      stderr: file:/var/log/f.err
                      retry: 2
                      deadline: 1s
                  - {name: trace, config: {file: /var/log/heats, hideheatzero: true}}
                  - name: stub
        """
    found = read(chain)

    assert found.problems == ()
    assert found.config is not None
    assert isinstance(found.config.policy, HeatConfig)
    assert found.config.policy.forecaster == ForecasterConfig(
        name="chain",
        forecasters=(
            ForecasterConfig(
                name="stdio",
                command=("/bin/forecast", "-n", "3"),
                stderr="/var/log/f.err",
                retries=2,
                deadline_ms=1000,
            ),
            ForecasterConfig(name="trace", file="/var/log/heats", hide_heat_zero=True),
            ForecasterConfig(),
        ),
    )
    refused = read(chain, programs=False)
    assert refused.config is None
    assert [problem.message[:24] for problem in refused.problems] == ["only files of root may h"] * 2
