"""`ebbtide check` and `ebbtide cat-config`: what people and programs are told about class files."""

from pathlib import Path

import pytest

from tests.cli.node import Node, conforms

BAD = Path(__file__).parents[1] / "cases" / "config" / "bad"
GOOD = "classes:\n  - name: lean\n    allowswap: true\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "conf.d"
    path.mkdir(mode=0o755)
    return path


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("case", sorted(BAD.glob("*.yaml")), ids=lambda case: case.stem)
def test_every_mistake_is_told_with_its_place_and_a_hint(
    node: Node, folder: Path, case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, case.name, case.read_text())
    monkeypatch.chdir(folder)

    outcome = node.ebbtide("check", "--config-dir", "/nonexistent", case.name)

    assert (outcome.out, outcome.code) == (case.with_suffix(".expected").read_text(), 1)


def test_without_files_all_installed_ones_are_checked(node: Node, folder: Path) -> None:
    put(folder, "10-a.yaml", GOOD)
    put(folder, "20-b.yaml", "classes: 5\n").chmod(0o666)

    outcome = node.ebbtide("check", "--config-dir", str(folder))

    assert outcome.code == 1
    assert outcome.out.splitlines()[0] == (
        f"{folder}/20-b.yaml: the file {folder}/20-b.yaml may be written by others than its owner"
    )
    assert outcome.out.splitlines()[-1] == "2 files: 1 error"


def test_good_files_have_no_problems(node: Node, folder: Path) -> None:
    put(folder, "10-a.yaml", GOOD)

    outcome = node.ebbtide("check", "--config-dir", str(folder))

    assert (outcome.code, outcome.out) == (0, "1 file, no problems\n")


def test_no_files_at_all(node: Node, folder: Path) -> None:
    outcome = node.ebbtide("check", "--config-dir", str(folder))

    assert outcome.code == 0
    assert outcome.out.startswith("no class files in ")


def test_a_named_file_may_use_installed_classes_and_only_it_is_judged(node: Node, folder: Path, tmp_path: Path) -> None:
    put(folder, "10-a.yaml", GOOD)
    put(folder, "20-b.yaml", "nonsense: 1\n")
    mine = put(tmp_path, "mine.yaml", "workloads: [{name: w, cgroup: /w, class: lean}]\n")

    assert node.ebbtide("check", "--config-dir", str(folder), str(mine)).out == "1 file, no problems\n"


def test_a_memtierd_configuration_is_checked_as_one(node: Node, tmp_path: Path) -> None:
    mine = put(tmp_path, "m.yaml", "policy:\n  name: age\n  config: |\n    intervalms: 2000\n    swapoutsms: 1\n")

    outcome = node.ebbtide("check", "--config-dir", "/nonexistent", str(mine))

    assert outcome.out.splitlines()[:2] == [
        f'{mine}:5:5: /policy/config/swapoutsms: unknown key "swapoutsms"',
        '    hint: did you mean "swapoutms"?',
    ]


def test_a_file_that_is_not_there_is_said_plainly(node: Node, tmp_path: Path) -> None:
    outcome = node.ebbtide("check", str(tmp_path / "*.yaml"))

    assert outcome.code == 1
    assert outcome.out.splitlines()[:2] == [
        f"{tmp_path}/*.yaml: no such file",
        "    hint: is the path right? class files are installed in /etc/nri/conf.d",
    ]


def test_notes_alone_are_no_failure(node: Node, folder: Path) -> None:
    put(folder, "10-a.yaml", GOOD + "    memory: {swap.max: 1M}\n")

    outcome = node.ebbtide("check", "--config-dir", str(folder))

    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "1 file, no problems, 1 note")


def test_for_programs(node: Node, folder: Path) -> None:
    put(folder, "10-a.yaml", "classes: 5\n")

    outcome = node.ebbtide("check", "--config-dir", str(folder), "-o", "json")

    conforms("check", outcome.document)
    assert outcome.code == 1
    assert outcome.document["problems"][0]["pointer"] == "/classes"


def test_cat_config_shows_files_and_result(node: Node, folder: Path, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir(mode=0o755)
    put(lower, "10-a.yaml", "mode: observe\n")
    put(lower, "20-b.yaml", "mode: observe\n")
    put(folder, "10-a.yaml", GOOD)
    put(folder, "20-b.yaml", "")
    put(folder, "30-c.yaml", "classes:\n- name: lean\n  memory: {high: 80%}\n")

    outcome = node.ebbtide("cat-config", "--config-dir", str(folder), "--config-dir", str(lower))

    assert outcome.code == 0
    assert (
        outcome.out
        == f"""\
# {folder}/10-a.yaml
{GOOD}
# {folder}/30-c.yaml
classes:
- name: lean
  memory: {{high: 80%}}

# {lower}/10-a.yaml  (replaced by {folder}/10-a.yaml)
# {lower}/20-b.yaml  (masked by {folder}/20-b.yaml)

# the result
classes:
- name: lean       # {folder}/30-c.yaml:2
  allowswap: true  # {folder}/10-a.yaml:3
  memory:
    high: 80%      # {folder}/30-c.yaml:3
"""
    )


def test_cat_config_of_nothing_is_an_empty_mapping(node: Node, folder: Path) -> None:
    assert node.ebbtide("cat-config", "--config-dir", str(folder), "--result").out == "# the result\n{}\n"


def test_cat_config_says_what_is_left_out(node: Node, folder: Path) -> None:
    put(folder, "10-a.yaml", "classes: \x1b[31m\n")

    outcome = node.ebbtide("cat-config", "--config-dir", str(folder))

    assert outcome.code == 1
    assert f"# {folder}/10-a.yaml  (left out: see the problems below)" in outcome.out
    assert "\x1b" not in outcome.out


def test_cat_config_for_programs(node: Node, folder: Path) -> None:
    put(folder, "10-a.yaml", GOOD)

    outcome = node.ebbtide("cat-config", "--config-dir", str(folder), "-o", "json")

    conforms("cat-config", outcome.document)
    conforms("classes", outcome.document["result"])
    assert outcome.document["result"] == {"classes": [{"name": "lean", "allowswap": True}]}
