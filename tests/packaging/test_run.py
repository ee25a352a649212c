"""./run bench: plain scripts, whose figures come as JSON lines, and a sentence for people beside each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sysfs import probe
from sysfs.tree import Tree

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "tests/bench").glob("*.py"))
SHORT = {"softdirty": ["--size", "16", "--seconds", "2"]}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_figures_are_json_lines_with_a_sentence_each(script: Path) -> None:
    if script.stem == "softdirty" and not probe.features(Tree()).works("pagemap"):
        pytest.skip("pagemap cannot be read here")
    code = f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); sys.argv[0] = {str(script)!r}"
    done = run(
        sys.executable, "-c", f"{code}; runpy.run_path(sys.argv[0], run_name='__main__')", *SHORT.get(script.stem, [])
    )

    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert figures
    assert {found["benchmark"] for found in figures} == {script.stem}
    assert all(found["machine"] for found in figures)
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [script.stem] * len(figures)
    assert done.returncode == 0


def test_a_benchmark_that_does_not_exist_is_named_with_those_that_do() -> None:
    done = run("./run", "bench", "nosuch")

    assert done.returncode == 64
    assert done.stderr == f"== no benchmark 'nosuch': {' '.join(path.stem for path in SCRIPTS)}\n"


def test_every_benchmark_has_its_figures_in_the_documents() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text()

    assert [path.stem for path in SCRIPTS if f"`{path.stem}`" not in text] == []
