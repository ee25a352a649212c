"""The doctor on nodes made of plain files: runtimes, rivals, what works, and the same from a capture."""

import tomllib
from pathlib import Path

import pytest

from reconciler import doctor, runtimes, tracking
from reconciler.model import Severity
from sysfs import capture
from sysfs.damon_probe import Ours
from sysfs.tree import Tree

CONFIG = "etc/containerd/config.toml"
TABLE = '[plugins."io.containerd.nri.v1.nri"]\n'
SOCKET = "var/run/nri/nri.sock"


def put(root: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Tree(root)


def only(found: tuple[runtimes.Runtime, ...]) -> runtimes.Runtime:
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("files", "nri", "said"),
    [
        pytest.param({}, "off", "off by default in containerd 1.7", id="no file, so version 1.7 or nothing known"),
        pytest.param({CONFIG: "version = 2\n"}, "off", "off by default", id="1.7"),
        pytest.param({CONFIG: f"version = 2\n{TABLE}disable = true\n"}, "off", "disable = true", id="said"),
        pytest.param({CONFIG: f"version = 2\n{TABLE}disable = false\n"}, "unknown", "restart", id="not restarted"),
        pytest.param({CONFIG: f"version = 2\n{TABLE}disable = false\n", SOCKET: ""}, "on", "is there", id="on"),
        pytest.param({CONFIG: "version = 3\n"}, "unknown", "since containerd 2.0", id="2.x, not running"),
        pytest.param({CONFIG: "version = 3\n", SOCKET: ""}, "on", "is there", id="2.x"),
        pytest.param(
            {CONFIG: f"version = 3\n{TABLE}disable_connections = true\n"}, "off", "may connect", id="own only"
        ),
        pytest.param({CONFIG: "version = [\n"}, "unknown", "cannot be read", id="broken"),
        pytest.param({CONFIG: "plugins = 3\nversion = '2'\n"}, "off", "off by default", id="odd types"),
        pytest.param(
            {
                CONFIG: 'version = 2\nimports = ["conf.d/*.toml", "/etc/containerd/config.toml"]\n',
                "etc/containerd/conf.d/nri.toml": f"{TABLE}disable = true\n",
            },
            "off",
            "/etc/containerd/conf.d/nri.toml says disable = true",
            id="in an imported file",
        ),
        pytest.param(
            {CONFIG: f'version = 3\n{TABLE}socket_path = "/x.sock"\n', "x.sock": ""}, "on", "/x.sock", id="elsewhere"
        ),
    ],
)
def test_containerd(tmp_path: Path, files: dict[str, str], nri: str, said: str) -> None:
    found = only(runtimes.examine(put(tmp_path, files), frozenset({"containerd"})))

    assert (found.name, found.nri) == ("containerd", nri)
    assert said in found.detail
    assert bool(found.lines) == (nri == "off" or "cannot be read" in said)
    assert bool(found.then) == (nri != "on")


@pytest.mark.parametrize("before", ["", "version = 2\n"])
def test_the_lines_for_containerd_are_toml_that_switches_it_on(tmp_path: Path, before: str) -> None:
    asked = only(runtimes.examine(put(tmp_path, {CONFIG: before}), frozenset()))
    text = before + "\n".join(asked.lines)
    found = only(runtimes.examine(put(tmp_path, {CONFIG: text}), frozenset()))

    assert tomllib.loads(text)["version"] == 2
    assert "restart" in found.detail
    assert found.lines == ()


@pytest.mark.parametrize(
    ("files", "nri", "said"),
    [
        ({}, "unknown", "on by default"),
        ({"etc/crio/crio.conf.d/1.conf": "[crio.nri]\nenable_nri = false\n"}, "off", "1.conf says enable_nri = false"),
        (
            {
                "etc/crio/crio.conf.d/1.conf": "[crio.nri]\nenable_nri = false\n",
                "etc/crio/crio.conf.d/2.conf": "[crio.nri]\nenable_nri = true\n",
                SOCKET: "",
            },
            "on",
            "is there",
        ),
    ],
)
def test_crio(tmp_path: Path, files: dict[str, str], nri: str, said: str) -> None:
    found = only(runtimes.examine(put(tmp_path, files), frozenset({"crio"})))

    assert (found.name, found.nri) == ("crio", nri)
    assert said in found.detail


def test_a_node_without_runtimes(tmp_path: Path) -> None:
    assert runtimes.examine(Tree(tmp_path), frozenset({"bash"})) == ()


def test_only_nri_settings_leave_the_node(tmp_path: Path) -> None:
    text = f'version = 2\n[plugins.cri.registry]\npassword = "secret"\n{TABLE}disable = true\nplugin_path = "/p"\n'
    reduced = runtimes.reduced(put(tmp_path, {CONFIG: text}))

    assert reduced == {"/" + CONFIG: f'version = 2\n{TABLE}disable = true\nplugin_path = "/p"\n'}


def node(root: Path) -> Tree:
    """A machine with containerd, rivals and DAMON in use."""
    commands = {
        30: "containerd",
        40: "systemd-oomd",
        50: "kdamond.0",
        60: "nri-memory-qos",
        70: "memtierd",
        80: "nrich",
    }
    files = {f"proc/{pid}/comm": f"{command}\n" for pid, command in commands.items()}
    return put(
        root,
        {
            **files,
            CONFIG: "version = 2\n",
            "opt/nri/plugins/10-memory-qos": "",
            "opt/nri/plugins/90-ebbtide": "",
            "sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds": "1\n",
            "proc/self/status": "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000080000\n",
        },
    )


def test_what_is_in_the_way(tmp_path: Path) -> None:
    found = doctor.examine(node(tmp_path), ("/etc/nri/conf.d/x.conf",))
    where = {problem.where: problem for problem in found.problems}

    assert set(where) == {
        "trackers",
        "page-out",
        "cgroup2",
        "swap",
        "psi",
        "containerd",
        "/opt/nri/plugins/10-memory-qos",
        "process 40 (systemd-oomd)",
        "process 60 (nri-memory-qos)",
        "process 70 (memtierd)",
        "DAMON",
        "/etc/nri/conf.d/x.conf",
    }
    assert "kdamond.0" in where["DAMON"].message
    assert "kdamondslist" in where["DAMON"].hint
    assert "disable = false" in where["containerd"].hint
    assert "x.yaml" in where["/etc/nri/conf.d/x.conf"].hint
    assert all(problem.hint for problem in found.problems)
    severities = [list(Severity).index(problem.severity) for problem in found.problems]
    assert severities == sorted(severities)


def test_our_own_kdamonds_are_in_nobodys_way(tmp_path: Path) -> None:
    found = doctor.examine(node(tmp_path), ours=Ours(kdamonds=1))

    assert "DAMON" not in {problem.where for problem in found.problems}


def test_privileges(tmp_path: Path) -> None:
    found = {verdict.name: verdict.works for verdict in doctor.examine(node(tmp_path)).privileges}

    assert [name for name, works in found.items() if works] == ["root", "CAP_SYS_PTRACE"]


def test_a_capture_says_the_same(tmp_path: Path) -> None:
    tree = node(tmp_path / "node")
    file = str(tmp_path / "x.tar.gz")
    capture.capture(tree, file, doctor.surroundings(tree))

    with capture.replay(file) as replayed:
        assert doctor.examine(replayed) == doctor.examine(tree)


def test_this_machine() -> None:
    found = doctor.examine(Tree())

    assert found.live
    assert {verdict.name for verdict in found.trackers} == {*tracking.NEEDS, "auto"}
    assert found.privileges
