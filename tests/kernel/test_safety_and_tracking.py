"""Tables: who is never managed, and which tracker a class gets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import safety, tracking
from reconciler.engine.trackers.tracker import WITHOUT_ADDRESSES
from reconciler.engineconfig import (
    AgeConfig,
    AvoidOomConfig,
    DamonConfig,
    DamosConfig,
    DemoteIdleConfig,
    EngineConfig,
    HeatConfig,
    PolicyConfig,
    RatioConfig,
    StubConfig,
    TrackerConfig,
)
from reconciler.model import Feature, Features, OnMissingTracker, ProcessFacts, Severity


def facts(comm: str = "", exe: str = "", *, pid: int = 50, kernel_thread: bool = False) -> ProcessFacts:
    return ProcessFacts(pid=pid, start_time=1, comm=comm, exe=exe, kernel_thread=kernel_thread)


@pytest.mark.parametrize(
    "process",
    [
        facts("app", "/app", pid=1),
        facts("app", "/app", pid=42),
        facts("kswapd0", kernel_thread=True),
        facts("kubelet", "/usr/bin/kubelet"),
        facts("renamed", "/usr/local/bin/kubelet"),
        facts("kubelet", ""),
        facts("containerd-shim", "/usr/bin/containerd-shim-runc-v2"),
        facts("runc:[2:INIT]", "/"),
        facts("systemd-journal", "/usr/lib/systemd/systemd-journald"),
        facts("dbus-daemon", "/usr/bin/dbus-daemon"),
        facts("conmon", "/usr/bin/conmon"),
        facts("crio", "/usr/bin/crio"),
        facts("ebbtide", "/usr/bin/python3.13"),
        facts("ebbtide-nri", "/usr/bin/python3.13"),
        facts("(sd-pam)", "/usr/lib/systemd/systemd"),
    ],
    ids=str,
)
def test_never_managed(process: ProcessFacts) -> None:
    assert safety.refusal(process, {42})


@pytest.mark.parametrize(
    "process",
    [
        facts("python3", "/usr/bin/python3.13"),
        facts("initializer", "/initializer"),
        facts("kube-proxy", "/usr/bin/kube-proxy"),
        facts("runcible", "/bin/runcible"),
        facts("nginx", ""),
    ],
    ids=str,
)
def test_may_be_managed(process: ProcessFacts) -> None:
    assert safety.refusal(process, {42}) == ""


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "kubepods",
        "/a/../b",
        "/a//b",
        "/a/",
        "/init.scope",
        "/init.scope/x",
        "/system.slice",
        "/system.slice/ebbtide.service",
        "/system.slice/containerd.service",
        "/system.slice/ssh.service",
        "/runtime.slice/kubelet.service",
        "/system.slice/crio.service",
    ],
)
def test_cgroup_is_refused(path: str) -> None:
    assert safety.cgroup_refusal(path, "/system.slice/ebbtide.service")


@pytest.mark.parametrize(
    "path", ["/kubepods.slice/pod1", "/system.slice/containerd.service/pod1", "/system.slice/ebb", "/x.service"]
)
def test_cgroup_is_not_refused(path: str) -> None:
    assert safety.cgroup_refusal(path, "/system.slice/ebbtide.service") == ""


def features(*works: str) -> Features:
    names = {name for needs in tracking.NEEDS.values() for name in needs}
    found = {n: Feature(name=n, works=n in works, detail=f"saw {n}", hint=f"enable {n}") for n in names}
    return Features(kernel="test", page_size=4096, features=found)


def asked(name: str, policy: PolicyConfig, *children: str) -> EngineConfig:
    trackers = tuple(TrackerConfig(name=child) for child in children)
    return EngineConfig(policy=policy, tracker=TrackerConfig(name=name, trackers=trackers))


IDLE, DIRTY, REFERENCED = ("idle-page", "pagemap-pfn"), ("soft-dirty", "pagemap"), ("referenced", "pagemap")
DAMON, MGLRU = ("damon", "pagemap"), ("mglru", "cgroup2")
MOVING, MEASURING = AgeConfig(swapout_ms=9000), AgeConfig()
HEAT, RATIO, DEMOTE = HeatConfig(nodes=((0, (2,)),)), RatioConfig(ratio=0.3), DemoteIdleConfig(idle_nodes=(2,))
OOM, DAMOS, STUB = AvoidOomConfig(), DamosConfig(), StubConfig()


@pytest.mark.parametrize(
    ("name", "works", "policy", "tracker", "severities"),
    [
        ("auto", (*IDLE, *DAMON, *REFERENCED), MOVING, "idlepage", []),
        ("auto", (*DAMON, *REFERENCED), MOVING, "damon", []),
        ("auto", (*DAMON, *MGLRU), MEASURING, "damon", []),
        ("auto", REFERENCED, MOVING, "referenced", []),
        ("auto", ("idle-page", *REFERENCED), MOVING, "referenced", []),
        ("auto", DIRTY, MOVING, "", ["error"]),
        ("auto", DIRTY, MEASURING, "softdirty", []),
        ("auto", MGLRU, MEASURING, "mglru", []),
        ("auto", MGLRU, MOVING, "", ["error"]),
        ("auto", MGLRU, HEAT, "", ["error"]),
        ("auto", MGLRU, STUB, "mglru", []),
        ("auto", (), MEASURING, "", ["error"]),
        ("auto", (), OOM, "stub", []),
        ("auto", (*IDLE, *DAMON), DAMOS, "damon", []),
        ("auto", IDLE, DAMOS, "", ["error"]),
        ("auto", (*IDLE, *DAMON), DEMOTE, "idlepage", []),
        ("auto", DAMON, DEMOTE, "", ["error"]),
        ("stub", IDLE, DEMOTE, "", ["error"]),
        ("idlepage", IDLE, MOVING, "idlepage", []),
        ("idlepage", REFERENCED, MOVING, "referenced", ["warning"]),
        ("idlepage", (), MOVING, "", ["error"]),
        ("softdirty", DIRTY, MOVING, "softdirty", ["note"]),
        ("softdirty", DIRTY, MEASURING, "softdirty", []),
        ("softdirty", REFERENCED, RATIO, "referenced", ["warning"]),
        ("finder", ("pagemap",), RATIO, "finder", []),
        ("finder", (), RATIO, "", ["error"]),
        ("damon", IDLE, HEAT, "idlepage", ["warning"]),
        ("bpf", IDLE, MOVING, "", ["error"]),
    ],
)
def test_choice(name: str, works: tuple[str, ...], policy: PolicyConfig, tracker: str, severities: list[str]) -> None:
    found = tracking.choose(asked(name, policy), OnMissingTracker.AUTO, features(*works), where="x")

    assert found.tracker == tracker
    assert [problem.severity for problem in found.problems] == [Severity(severity) for severity in severities]
    assert all(problem.hint and problem.where == "x" for problem in found.problems if problem.severity != "note")


def test_multi_needs_what_its_trackers_need() -> None:
    both = asked("multi", MOVING, "idlepage", "softdirty")

    assert tracking.choose(both, OnMissingTracker.REFUSE, features(*IDLE, *DIRTY)).tracker == "multi"
    found = tracking.choose(both, OnMissingTracker.AUTO, features(*IDLE))
    assert found.tracker == "idlepage"
    assert "saw soft-dirty" in found.problems[0].message
    assert tracking.choose(both, OnMissingTracker.REFUSE, features(*IDLE)).tracker == ""


@pytest.mark.parametrize(
    ("damon", "also", "tracker"),
    [
        (DamonConfig(), ("damon-stat",), ""),
        (DamonConfig(pause_damon_stat=True), ("damon-stat",), "damon"),
        (DamonConfig(pause_damon_stat=True), (), ""),
        (DamonConfig(kdamonds=(0,)), (), "damon"),
        (DamonConfig(kdamonds=(0,)), ("damon-stat",), ""),
        (DamonConfig(kdamonds=(0,), pause_damon_stat=True), ("damon-stat",), "damon"),
    ],
)
def test_damon_that_somebody_else_has_needs_consent(damon: DamonConfig, also: tuple[str, ...], tracker: str) -> None:
    works = {"damon-sysfs", "pagemap", *also}
    found = {n: Feature(name=n, works=n in works, detail="") for n in {*works, "damon"}}
    seen = Features(kernel="test", page_size=4096, features=found)
    one = TrackerConfig(name="damon", damon=damon)
    for asked in (one, TrackerConfig(name="multi", trackers=(one,))):
        config = EngineConfig(policy=MOVING, tracker=asked)
        chosen = tracking.choose(config, OnMissingTracker.REFUSE, seen).tracker
        assert chosen == (asked.name if tracker else "")


def test_only_softdirty_in_a_multi_is_softdirty() -> None:
    (note,) = tracking.choose(asked("multi", MOVING, "softdirty"), OnMissingTracker.AUTO, features(*DIRTY)).problems

    assert note.severity is Severity.NOTE


@pytest.mark.parametrize("on_missing", list(OnMissingTracker))
@pytest.mark.parametrize(
    ("name", "policy", "reason"),
    [
        ("mglru", MOVING, "not where"),
        ("mglru", HEAT, "not where"),
        ("mglru", RATIO, "not where"),
        ("finder", MOVING, "looks at no accesses"),
        ("stub", MEASURING, "tracks nothing"),
        ("stub", HEAT, "tracks nothing"),
        ("softdirty", DEMOTE, "idle marks"),
        ("idlepage", DAMOS, "its tracker is damon"),
        ("multi", DAMOS, "its tracker is damon"),
    ],
)
def test_what_cannot_be_is_refused_on_every_kernel(
    name: str, policy: PolicyConfig, reason: str, on_missing: OnMissingTracker
) -> None:
    everything = features(*(feature for needs in tracking.NEEDS.values() for feature in needs))
    found = tracking.choose(asked(name, policy, "damon"), on_missing, everything)

    assert found.tracker == ""
    assert reason in found.problems[0].message
    assert found.problems[0].hint.startswith("with this policy: auto, ")


@pytest.mark.parametrize(
    ("child", "reason"), [("auto", "are named"), ("mglru", "by address"), ("finder", "no accesses")]
)
def test_what_cannot_be_in_a_multi(child: str, reason: str) -> None:
    assert reason in tracking.unfit(asked("multi", MOVING, "idlepage", child))
    assert tracking.unfit(asked("multi", MOVING, "idlepage", "damon")) == ""


NAMES = ("auto", *tracking.NEEDS, "multi", "stub")


@given(
    st.sampled_from([MOVING, MEASURING, HEAT, HeatConfig(), RATIO, DEMOTE, OOM, DAMOS, STUB]),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=2),
    st.sampled_from(OnMissingTracker),
    st.sets(st.sampled_from(sorted({name for needs in tracking.NEEDS.values() for name in needs}))),
)
def test_whatever_is_missing_no_policy_gets_a_tracker_that_cannot_serve_it(
    policy: PolicyConfig, name: str, children: list[str], on_missing: OnMissingTracker, works: set[str]
) -> None:
    config = asked(name, policy, *children)
    chosen = tracking.choose(config, on_missing, features(*works)).tracker
    given = config.tracker if chosen == name else TrackerConfig(name=chosen)

    assert not chosen or tracking.unfit(replace(config, tracker=given)) == ""
    assert not chosen or chosen == "multi" or tracking.missing(chosen, features(*works)) == ()
    if config.moves() and policy not in (OOM, DAMOS):
        assert chosen not in WITHOUT_ADDRESSES
    assert chosen != "auto"


def test_refuse_means_refuse() -> None:
    found = tracking.choose(asked("idlepage", MOVING), OnMissingTracker.REFUSE, features(*REFERENCED), where="x")

    assert found.tracker == ""
    assert "saw idle-page" in found.problems[0].message
    assert found.problems[0].hint == "enable idle-page"


def test_available() -> None:
    assert tracking.available(features(*IDLE, *REFERENCED)) == ("idlepage", "referenced", "finder")
