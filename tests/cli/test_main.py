"""The command itself: finding verbs, options before and after them, errors as words and codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import main, options

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([verb, "--help"], {}) == 0
    assert f"usage: ebbtide {verb}" in capsys.readouterr().out


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["--help"], {})
    listed = re.findall(r"^    ([a-z-]+) ", capsys.readouterr().out, re.MULTILINE)

    assert listed == list(main.VERBS)


@pytest.mark.parametrize("words", [["--state-dir", "/a/", "status"], ["status", "--state-dir", "/a"]])
def test_common_options_stand_before_or_behind_the_verb(words: list[str]) -> None:
    assert options.of(main.build_parser().parse_args(words)).state_dir == "/a"


def test_a_bare_command_is_status(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["--run-dir", str(tmp_path)], {}) == 3
    assert f"there is no {tmp_path}/status.json" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["staus"], ["status", "--colour"], ["-o", "xml", "status"]])
def test_wrong_usage_has_its_own_code(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words, {}) == 64
    assert re.fullmatch(r"ebbtide: .+\nhint: see ebbtide.* --help\n", capsys.readouterr().err)


def test_a_runtime_starts_its_plugins_without_arguments() -> None:
    assert main._with_verb([], {"NRI_PLUGIN_NAME": "ebbtide"}) == ["nri"]
    assert main._with_verb([], {}) == []


def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.run(
        [sys.executable, "-m", "reconciler", "--help"], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)

    assert (child.returncode, child.stderr) == (0, b"")


def test_status_starts_without_the_heavy_libraries() -> None:
    heavy = "{'grpc', 'numpy', 'yaml', 'jsonschema'}"
    code = f"import sys, reconciler.cli.main, reconciler.cli.status; print({heavy} & set(sys.modules))"
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert child.stdout == "set()\n"


@pytest.mark.parametrize(
    ("root", "code", "said"),
    [
        ("/proc/self/mem", 1, "/proc/self/mem"),
        ("/proc/version", 1, "cannot be read as a capture"),
        ("/nowhere", 1, "no proc folder"),
    ],
)
def test_a_kernel_error_is_words(root: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["plan", "--root", root], {}) == code
    assert said in capsys.readouterr().err
