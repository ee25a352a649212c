"""The last good texts: kept, read back, and no stumbling block when the file is damaged."""

from pathlib import Path

import pytest

from reconciler import classes, lastgood, schemas


def parsed(text: str) -> dict[str, classes.ParsedFile]:
    loaded = classes.load(
        [classes.ClassText(path="/etc/a.yaml", name="a.yaml", text=text)], {"classes": schemas.read("classes")}
    )
    return dict(loaded.files)


def test_what_was_stored_comes_back(tmp_path: Path) -> None:
    files = parsed("classes: [{name: c, allowswap: true}]")
    lastgood.store(tmp_path, files)

    assert lastgood.load(tmp_path) == files


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"{", b"[]", b'{"a": 1}', b""])
def test_damage_costs_only_the_safety_net(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "lastgood.json").write_bytes(damage)

    lastgood.load(tmp_path)
    lastgood.store(tmp_path, parsed("classes: []"))

    assert list(lastgood.load(tmp_path)) == ["/etc/a.yaml"]
