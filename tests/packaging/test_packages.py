"""What the packages are made of, looked at without building them; `./run deb` and `./run rpm` build and check them."""

import configparser
import json
import re
from pathlib import Path

import pytest

from reconciler.cli import complete, main, whole
from sysfs import compaction, mglru

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "packaging/systemd"


def unit(path: Path) -> dict[str, list[str]]:
    """Keys of [Service] with all their values, in order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_whole_parser_knows_every_verb_and_its_options() -> None:
    text = whole.parser().format_help()

    assert [verb for verb in main.VERBS if verb not in text] == []
    assert whole.parser().parse_args(["accessed", "a/b/c"]).workload == "a/b/c"


def test_completion_gives_names_of_the_last_report(tmp_path: Path) -> None:
    rows = [{"name": "a/b/c", "class_name": "cold"}, {"name": "d", "class_name": ""}]
    (tmp_path / "status.json").write_text(json.dumps({"workloads": rows}))

    assert complete.words(tmp_path, "workloads") == ["a/b/c", "d"]
    assert complete.words(tmp_path, "classes") == ["cold"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"workloads": 3}', '{"workloads": [3]}'])
def test_completion_is_silent_where_nothing_is_known(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "status.json").write_text(text)

    assert complete.words(tmp_path, "workloads") == []


@pytest.mark.parametrize("name", ["ebbtide", "ebbtide-nri"])
def test_units_start_what_exists_and_leave_nothing_open(name: str) -> None:
    found = unit(SYSTEMD / f"{name}.service")

    verb = found["ExecStart"][0].split()[1]
    assert verb in main.VERBS
    assert found["StateDirectory"] == ["ebbtide"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["SystemCallErrorNumber"] == ["EPERM"]  # a stray call is an error, not the death of the daemon


@pytest.mark.parametrize(
    "path",
    [mglru.ENABLED, mglru.GENERATIONS, compaction.file(None), compaction.file(0), "/sys/fs/cgroup/a/memory.reclaim"],
)
def test_what_the_agent_writes_is_open_in_the_sandbox(path: str) -> None:
    """ProtectKernelTunables= makes all of /sys and /proc/sys read-only, also for root."""
    found = unit(SYSTEMD / "ebbtide.service")
    opened = [each.removeprefix("-") for line in found["ReadWritePaths"] for each in line.split()]

    assert any(path.startswith(f"{each}/") for each in opened)


def test_the_plugin_needs_no_capability() -> None:
    assert unit(SYSTEMD / "ebbtide-nri.service")["CapabilityBoundingSet"] == [""]


@pytest.mark.parametrize("path", sorted((SYSTEMD / "drop-ins").glob("*.conf")), ids=lambda path: path.stem)
def test_drop_ins_say_what_for_and_where_to(path: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(path)

    assert parser.sections() == ["Service"]
    assert "/etc/systemd/system/ebbtide.service.d/" in path.read_text()


def test_both_packages_need_what_the_project_needs() -> None:
    project = (ROOT / "pyproject.toml").read_text().split("[project.optional")[0]
    wanted = set(re.findall(r'^    "([a-z-]+)>=', project, re.MULTILINE))
    debian = (ROOT / "packaging/debian/control").read_text().split("\nDepends:")[1].split("\nSuggests:")[0]
    rpm = (ROOT / "packaging/rpm/ebbtide.spec").read_text()

    assert set(re.findall(r"python3-([a-z-]+)", debian.replace("python3-yaml", "python3-pyyaml"))) == wanted
    assert set(re.findall(r"python3dist\(([a-z-]+)\)", rpm)) == wanted
