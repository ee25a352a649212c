"""What the doctor says of the agent: each part's verdict, and the balloon's order, on nodes made of plain files."""

from pathlib import Path

import pytest

from reconciler import agentdoctor, doctor
from reconciler.model import Feature, Features
from sysfs import balloon, capture
from sysfs.balloon import Balloon
from sysfs.tree import Tree

DEVICES = "sys/bus/virtio/devices"
REPORTING, WITHOUT = "01100101" + "0" * 120, "01100001" + "0" * 120
ORDER = {"sys/module/page_reporting/parameters/page_reporting_order": "9\n"}
BLOCKS = {"proc/pagetypeinfo": "Page block order: 5\nPages per block:  32\n\nFree pages count per migrate type\n"}
PRESSURE = {f"proc/pressure/{what}": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n" for what in ("memory", "io")}


def put(root: Path, *files: dict[str, str]) -> Tree:
    for each in files:
        for name, text in each.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return Tree(root)


def virtio(name: str, kind: str, features: str) -> dict[str, str]:
    return {f"{DEVICES}/{name}/device": f"{kind}\n", f"{DEVICES}/{name}/features": f"{features}\n"}


BALLOON = {**virtio("virtio0", "0x0001", REPORTING), **virtio("virtio1", "0x0005", REPORTING)}


def known(*names: str) -> Features:
    found = {name: Feature(name=name, works=name in names, detail="why") for name in ("psi", "mglru", "memory.reclaim")}
    return Features(kernel="6.12", page_size=4096, features=found)


def verdicts(tree: Tree, features: Features, *, live: bool = False) -> dict[str, tuple[bool, str]]:
    return {one.name: (one.works, one.detail) for one in agentdoctor.verdicts(tree, features, live=live)}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (virtio("virtio0", "0x0001", REPORTING), None),
        (BALLOON, Balloon(device="virtio1", reports=True)),
        (virtio("virtio7", "0x0005", WITHOUT), Balloon(device="virtio7", reports=False)),
        (virtio("virtio7", "5", ""), Balloon(device="virtio7", reports=False)),
    ],
    ids=["no bus", "no balloon", "reports", "without", "odd"],
)
def test_the_balloon(tmp_path: Path, files: dict[str, str], expected: Balloon | None) -> None:
    assert balloon.read(put(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**ORDER, **BLOCKS}, 9),
        (BLOCKS, 5),
        ({**BLOCKS, "sys/module/page_reporting/parameters/page_reporting_order": "-1\n"}, 5),
        ({}, None),
        ({"proc/pagetypeinfo": "nothing\n"}, None),
    ],
    ids=["parameter", "page blocks", "not registered", "nothing", "odd"],
)
def test_the_order_that_is_reported(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert balloon.order(put(tmp_path, files)) == expected


def test_a_node_that_can_do_everything(tmp_path: Path) -> None:
    more = {"proc/swaps": "Filename\n", "sys/class/zram-control/hot_add": ""}
    tree = put(tmp_path, BALLOON, ORDER, BLOCKS, PRESSURE, more)

    assert verdicts(tree, known("psi", "mglru", "memory.reclaim")) == {
        "pressure limits": (True, "memory and io stall of the node and of each cgroup"),
        "memcg": (True, "by MGLRU"),
        "compact": (True, "page blocks are of order 9"),
        "swap": (True, "files, or zram; files only on ext4, xfs or btrfs"),
        "reclaim": (True, "by memory.reclaim"),
        "free page reporting": (True, "blocks of order 9: compact_order: 9 fits"),
    }
    assert list(agentdoctor.problems(tree)) == []


def test_a_node_that_can_do_nothing(tmp_path: Path) -> None:
    tree = put(tmp_path, virtio("virtio3", "0x0005", WITHOUT))

    assert verdicts(tree, known()) == {
        "pressure limits": (
            False,
            "no PSI (boot with psi=1): limits count as never exceeded, unless psi: required",
        ),
        "memcg": (False, "neither MGLRU (why) nor memory.reclaim"),
        "compact": (False, "/proc/pagetypeinfo cannot be read (root only)"),
        "swap": (False, "the kernel was built without CONFIG_SWAP"),
        "reclaim": (False, "missing: memory.reclaim, psi"),
        "free page reporting": (False, "virtio3 is a balloon without it"),
    }
    (problem,) = agentdoctor.problems(tree)
    assert problem.where == "balloon virtio3"
    assert "reclaim_guest_freed_memory" in problem.hint


def test_half_of_it(tmp_path: Path) -> None:
    tree = put(tmp_path, BALLOON, {"proc/pressure/memory": "some total=1\n", "proc/swaps": "Filename\n"})
    found = verdicts(tree, known("psi", "memory.reclaim"))

    assert found["pressure limits"][0] is False
    assert found["memcg"] == (True, "by memory.reclaim, without ages (why)")
    assert found["swap"] == (True, "files; files only on ext4, xfs or btrfs")
    assert found["free page reporting"][1].endswith("compact_order: 9 fits 4 KiB pages, 5 fits 64 KiB pages")


def test_only_a_running_kernel_is_asked_for_what_cannot_be_saved(tmp_path: Path) -> None:
    tree = put(tmp_path, BLOCKS)

    assert verdicts(tree, known())["compact"] == (True, "page blocks are of order 5")
    assert verdicts(tree, known(), live=True)["compact"] == (False, "the kernel was built without CONFIG_COMPACTION")


def test_a_capture_says_the_same(tmp_path: Path) -> None:
    tree = put(tmp_path / "node", BALLOON, ORDER, BLOCKS, PRESSURE, {"proc/swaps": "Filename\n", "proc/1/comm": "a\n"})
    capture.capture(tree, str(tmp_path / "it.tar.gz"))

    with capture.replay(str(tmp_path / "it.tar.gz")) as replayed:
        assert doctor.examine(replayed).agent == doctor.examine(tree).agent
