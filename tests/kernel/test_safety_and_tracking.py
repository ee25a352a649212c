"""Tables: who is never managed, and which tracker a class gets."""

import pytest

from reconciler import safety, tracking
from reconciler.engineconfig import TrackerConfig
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


IDLE, DIRTY, REFERENCED = ("idle-page", "pagemap-pfn"), ("soft-dirty", "pagemap"), ("referenced", "pagemap")


@pytest.mark.parametrize(
    ("name", "works", "moves", "tracker", "severities"),
    [
        ("auto", (*IDLE, *REFERENCED), True, "idlepage", []),
        ("auto", REFERENCED, True, "referenced", []),
        ("auto", ("idle-page", *REFERENCED), True, "referenced", []),
        ("auto", DIRTY, True, "", ["error"]),
        ("auto", DIRTY, False, "softdirty", []),
        ("auto", (), False, "", ["error"]),
        ("idlepage", IDLE, True, "idlepage", []),
        ("idlepage", REFERENCED, True, "referenced", ["warning"]),
        ("idlepage", (), True, "", ["error"]),
        ("softdirty", DIRTY, True, "softdirty", ["note"]),
        ("softdirty", DIRTY, False, "softdirty", []),
        ("softdirty", REFERENCED, True, "referenced", ["warning"]),
        ("damon", IDLE, True, "", ["error"]),
    ],
)
def test_choice(name: str, works: tuple[str, ...], moves: bool, tracker: str, severities: list[str]) -> None:
    found = tracking.choose(TrackerConfig(name=name), OnMissingTracker.AUTO, features(*works), moves=moves, where="x")

    assert found.tracker == tracker
    assert [problem.severity for problem in found.problems] == [Severity(severity) for severity in severities]
    assert all(problem.hint and problem.where == "x" for problem in found.problems if problem.severity != "note")


def test_refuse_means_refuse() -> None:
    found = tracking.choose(
        TrackerConfig(name="idlepage"), OnMissingTracker.REFUSE, features(*REFERENCED), moves=True, where="x"
    )

    assert found.tracker == ""
    assert "saw idle-page" in found.problems[0].message
    assert found.problems[0].hint == "enable idle-page"


def test_available() -> None:
    assert tracking.available(features(*IDLE, *REFERENCED)) == ("idlepage", "referenced")
