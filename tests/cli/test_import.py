"""`ebbtide import`: to standard output or a new file, for people and programs."""

from pathlib import Path

from tests.cli.node import Node, conforms

TOML = "[agent.kata.mem_agent]\nmem_agent_enable = true\nmemcg_swap = true\nmemcg_swappiness_max = 300\n"


def put(node: Node, text: str = TOML) -> str:
    path = node.path / "configuration.toml"
    path.write_text(text)
    return str(path)


def test_a_class_file_comes_out_that_check_accepts(node: Node) -> None:
    shown = node.ebbtide("import", "kata", put(node))
    result = node.path / "agent.yaml"
    result.write_text(shown.out)
    result.chmod(0o644)

    assert shown.code == 0
    assert shown.out.endswith("\nmemcg:\n  swap: true\n\ncompact: {}\n")
    assert node.ebbtide("check", "--config-dir", "/nonexistent", str(result)).code == 0


def test_to_a_new_file(node: Node) -> None:
    target = node.path / "out.yaml"
    source = put(node)

    shown = node.ebbtide("import", "kata", source, "--to", str(target))

    assert shown.out == f"{target}: 1 taken over, 1 explained in its comments\n"
    assert target.read_text() == node.ebbtide("import", "kata", source).out
    again = node.ebbtide("import", "kata", source, "--to", str(target))
    assert (again.code, "is there already" in again.err) == (1, True)


def test_for_programs(node: Node) -> None:
    document = node.ebbtide("import", "kata", put(node), "-o", "json").document

    conforms("import", document)
    assert document["taken"] == 1
    assert document["notes"][0]["line"] == 4


def test_what_cannot_be_read(node: Node, tmp_path: Path) -> None:
    assert "no.toml" in node.ebbtide("import", "kata", str(tmp_path / "no.toml")).err
    assert "not valid TOML" in node.ebbtide("import", "kata", put(node, "[")).err
    assert node.ebbtide("import", "helm", put(node)).code == 64
    (tmp_path / "latin").write_bytes(b"\xff")
    assert node.ebbtide("import", "kata", str(tmp_path / "latin")).code == 1
    (tmp_path / "big").write_bytes(b"#" * (1 << 21))
    assert "larger than" in node.ebbtide("import", "kata", str(tmp_path / "big")).err
