"""The page docs/getting-started.md, typed as it is printed, on a machine with the package beside it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.guest import ebbtide, node, poll
from tests.e2e.guest.story_package import DIST, QUIET, left_behind

PAGE = Path("/src/docs/getting-started.md")
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n\n```(?P<kind>sh|yaml)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"`(/etc/nri/conf\.d/[\w-]+\.yaml)`")
SWAP = Path("/sys/fs/cgroup/batch.slice/memory.swap.current")
ANSWERS = {"plan": (0, 2), "doctor": (0, 1), "status": (0, 1)}  # exit codes that are no failure
SLOW = "engine: {cpupercent: 100}\n"


def steps() -> Iterator[tuple[str, str]]:
    """(file, text) of what is to be written, ("", line) of what is to be typed."""
    for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        if block["kind"] == "sh":
            yield from (("", line) for line in block["text"].splitlines())
        elif target := TARGET.search(block["before"]):
            yield target[1], block["text"]


def typed(line: str) -> None:
    command = line.replace("apt ", "apt-get -y --no-install-recommends ")
    done = subprocess.run(command, shell=True, cwd="/src", env=QUIET, check=False, capture_output=True, text=True)
    print(f"  $ {line}\n{done.stdout[-3000:]}{done.stderr[-1000:]}", flush=True)
    verb = line.split()[1] if line.startswith("ebbtide") else ""
    assert done.returncode in ANSWERS.get(verb, (0,)), done.returncode


def swapped() -> bool:
    return SWAP.exists() and int(SWAP.read_text(encoding="ascii")) > 50 << 20


@pytest.mark.skipif(not list(DIST.glob("*.deb")), reason="no package in dist/: run `./run deb`")
def test_getting_started() -> None:
    node.swap_on()
    ebbtide.drop(ebbtide.SCANNING, SLOW)
    for target, text in steps():
        if target:
            Path(target).write_text(text, encoding="utf-8")
            continue
        if text.startswith("ebbtide status"):
            poll.until("the daemon has reported", ebbtide.report)
        if text.startswith("ebbtide accessed"):
            poll.until("idle memory is in swap", swapped, seconds=300, pause=2)
        typed(text)
    ebbtide.clear_classes()
    subprocess.run(["apt-get", "-y", "purge", "ebbtide"], env=QUIET, check=True, capture_output=True)
    assert left_behind() == []
