"""Bad class files: `ebbtide check` says where and what to do, and the daemon lives through all of them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.guest import ebbtide, poll

CLASS = "classes:\n  - name: fine\n    allowswap: true\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

BAD: dict[str, bytes] = {
    "60-bomb.yaml": BOMB.encode(),
    "61-huge.yaml": CLASS.encode() + b"# " + b"x" * (1 << 20) + b"\n",
    "62-latin1.yaml": b"classes:\n  - name: caf\xe9\n",
    "63-type.yaml": b"classes:\n  - name: typed\n    allowswap: perhaps\n",
    "64-names.yaml": b"classes:\n  - name: twin\n  - name: twin\n",
    "65-keys.yaml": b"classes:\n  - name: key\n    allowswap: true\n    allowswap: false\n",
    "66-unknown.yaml": b"classes:\n  - name: typo\n    alowswap: true\n",
    "67-writable.yaml": CLASS.encode(),
    "68-syntax.yaml": b"classes:\n  - name: [\n",
}
WHAT = {
    "66-unknown.yaml": "allowswap",
    "67-writable.yaml": "writ",
    "64-names.yaml": "twin",
    "65-keys.yaml": "allowswap",
}


@pytest.fixture
def bad(product: object) -> list[Path]:
    """All of them in the administrator's directory, beside the good ones."""
    paths = []
    for name, content in BAD.items():
        path = ebbtide.CLASSES / name
        path.write_bytes(content)
        os.chmod(path, 0o666 if "writable" in name else 0o644)
        paths.append(path)
    return paths


@pytest.mark.smoke
def test_bad_files_are_named_and_survived(bad: list[Path]) -> None:
    text = ebbtide.cli("check", *map(str, bad), ok=(1,))
    print(text, flush=True)
    lines = text.splitlines()
    for path in bad:
        named = [number for number, line in enumerate(lines) if line.startswith(f"{path}:")]
        assert named, f"{path.name} is not refused"
        about = "\n".join(line for number in named for line in lines[number : number + 2])
        assert "hint:" in about, f"{path.name} without a hint: {about}"
        assert WHAT.get(path.name, "") in about
    cycles = ebbtide.report()["cycles"]
    poll.until("the daemon names every bad file", lambda: all(map(reported(), bad)))
    ebbtide.drop("70-fine.yaml", CLASS)
    poll.until("the daemon goes on", lambda: ebbtide.report()["cycles"] > cycles)


def reported() -> Callable[[Path], bool]:
    problems = str(ebbtide.report()["problems"])
    return lambda path: str(path) in problems


@pytest.mark.smoke
def test_good_files_alone_are_fine(product: object) -> None:
    assert "hint:" not in ebbtide.cli("check")
