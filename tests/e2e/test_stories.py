"""Start machines and have them tell their stories (guest/story_*.py); what a machine prints is shown as it comes."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.machine import boot, image, kernel, topology

GUEST = "/src/tests/e2e/guest"
TIMEOUT = 1800
TIERS = ("story_nodes.py", "story_policies.py")  # told on machines of their own: they take as long as all others
PACKAGE = ("story_start.py", "story_package.py", "story_image.py")  # on machines that have nothing of ours
NODES = "2304:0-1,768"  # what swap holds in memory comes on top of the pods


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """One machine, and what it is to tell."""

    suite: str = "trixie"
    kernel: str = ""  # as `vm run --kernel` has it
    stories: tuple[str, ...] = ("",)
    marker: str = ""

    def machine(self) -> boot.Machine:
        chosen = kernel.named(self.kernel)
        return boot.Machine(
            suite=self.suite,
            kernel=chosen.image if chosen else None,
            initrd=chosen.initrd if chosen else None,
            nodes=topology.parse(NODES, "0-1=20", cpus=2),
            src=kernel.REPOSITORY,
            timeout=TIMEOUT,
        )

    def command(self) -> list[str]:
        chosen = [f"{GUEST}/{story}" for story in self.stories]
        others = [f"--ignore={GUEST}/{story}" for story in TIERS + PACKAGE if story not in self.stories]
        where = ["-c", f"{GUEST}/pytest.ini", "--rootdir", GUEST]
        return ["python3", "-m", "pytest", *where, "-m", self.marker, *others, *chosen]


SMOKE = {
    "idle-page-kernel": Boot(kernel="idlepage", marker="smoke"),
    "debian-kernel": Boot(stories=("story_main.py",), marker="smoke"),
}
FULL = {
    "idle-page-kernel-rest": Boot(kernel="idlepage", marker="not smoke and not trackers"),
    "idle-page-kernel-tiers": Boot(kernel="idlepage", stories=TIERS),
    "debian-kernel-rest": Boot(marker="not smoke and not trackers"),
    "debian-kernel-tiers": Boot(stories=TIERS),
    "forky": Boot(suite="forky", marker="not trackers"),
    "debian-package": Boot(stories=PACKAGE),
    "forky-package": Boot(suite="forky", stories=PACKAGE),
}
TRACKERS = {
    name: Boot(kernel=name, stories=("story_trackers.py",)) for name in ("idlepage", "6.1", "6.12", "6.18", "7.2", "7")
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", SMOKE)
def test_smoke(name: str) -> None:
    tell(SMOKE[name])


@pytest.mark.parametrize("name", FULL)
def test_full(name: str) -> None:
    tell(FULL[name])


@pytest.mark.parametrize("name", TRACKERS)
def test_trackers(name: str) -> None:
    """What they measured stays, for tests/e2e/tables; what a run before it left is no part of it."""
    out = image.CACHE / "out" / f"trackers-{name}"
    (out / "trackers.jsonl").unlink(missing_ok=True)
    print(f"vm: results will be in {out}/trackers.jsonl")
    tell(TRACKERS[name], out)


def tell(about: Boot, out: Path | None = None) -> None:
    assert boot.run(about.machine(), about.command(), out) == 0, "a story failed: its output is above"
