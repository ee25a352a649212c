"""The README's installation: what `pip install .` brings is complete, and works away from the checkout."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli import kernel_tree

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0,
    reason="pip is not here",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, built from a copy: a build leaves files behind in its source."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "target"))
    for name in ("reconciler", "sysfs", "nri", "schema"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(wheels.glob("ebbtide-*.whl"))) as wheel:
        wheel.extractall(target)
    return target


def ebbtide(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from reconciler.cli.main import run; run()"
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-P", "-c", code, *words]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_every_schema_and_type_marker_is_in_it(installed: Path) -> None:
    shipped = {path.name for path in (installed / "reconciler/schema").glob("*.json")}

    assert shipped == {path.name for path in (ROOT / "schema").glob("*.json")}
    assert all((installed / name / "py.typed").exists() for name in ("reconciler", "sysfs", "nri"))


def test_tests_and_tools_are_not_in_it(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {
        "reconciler",
        "sysfs",
        "nri",
    }


def commands() -> list[list[str]]:
    """What the README says to type on a node, without its comments."""
    section = (ROOT / "README.md").read_text().split("## On a node")[1].split("\n## ")[0]
    lines = [line.split("#")[0] for line in section.splitlines() if line.startswith("    ")]
    return [shlex.split(line) for line in lines]


def test_the_commands_of_the_readme_work(installed: Path, tmp_path: Path) -> None:
    """In their order, with every place moved below a folder; `pip install` itself has just been done."""
    node, classes = kernel_tree.make(tmp_path / "node"), tmp_path / "etc/nri/conf.d"
    places = ["--state-dir", str(tmp_path / "state"), "--run-dir", str(tmp_path / "run"), "--config-dir", str(classes)]
    endings = {"daemon": ["--once"], "nri": ["--help"]}
    _, install, *verbs = commands()

    subprocess.run([word.replace("/etc/nri/conf.d", str(classes)) for word in install], cwd=ROOT, check=True)
    outputs = {}
    for program, verb, *words in verbs:
        assert program == "/opt/ebbtide/bin/ebbtide"
        done = ebbtide(installed, verb, *words, "--root", str(node), *places, *endings.get(verb, []))
        outputs[verb] = done.stdout
        assert (verb, done.returncode) == (verb, int(verb == "doctor")), done.stdout + done.stderr

    assert outputs["check"] == "1 file, no problems\n"
    assert "TRACKER" in outputs["doctor"]
    assert "-idx" in outputs["nri"]
