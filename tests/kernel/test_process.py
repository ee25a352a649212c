"""Processes, swap, pressure, boot, vmstat and NUMA nodes from fixed files."""

import os
from pathlib import Path

import pytest

from reconciler.model import ProcessFacts
from sysfs import boot, numa, pressure, process, swap, vmstat
from sysfs.errors import Gone, Rejected
from sysfs.tree import Tree

STAT = "{pid} ({comm}) S 5 1 1 0 -1 {flags} 100 0 0 0 1 1 0 0 20 0 1 0 {start} 1000 10 18446744073709551615 1 1 1 1\n"


def put(root: Path, path: str, text: str) -> Tree:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return Tree(root)


@pytest.mark.parametrize("comm", ["cat", "a b", ") R 1 2 (", "((sd-pam))", ""])
def test_a_command_may_contain_anything(tmp_path: Path, comm: str) -> None:
    tree = put(tmp_path, "proc/9/stat", STAT.format(pid=9, comm=comm, flags=0x400000, start=4711))

    assert process.start_time(tree, 9) == 4711
    assert process.facts(tree, 9) == ProcessFacts(pid=9, start_time=4711, comm=comm, parent=5)


def test_exec_makes_another_process_of_it(tmp_path: Path) -> None:
    plain = STAT.format(pid=9, comm="sh", flags=0, start=4711).strip()
    fields = " ".join(str(number) for number in range(30, 53))  # what follows field 29
    before = process.identity(put(tmp_path, "proc/9/stat", f"{plain} {fields}\n"), 9)
    after = process.identity(put(tmp_path, "proc/9/stat", f"{plain} {fields.replace('47', '48')}\n"), 9)

    assert before == (9, 4711, (1, 1, 1, 45, 46, 47))
    assert after != before


def test_kernel_thread_and_replaced_program(tmp_path: Path) -> None:
    tree = put(tmp_path, "proc/2/stat", STAT.format(pid=2, comm="kthreadd", flags=0x208040, start=1))
    put(tmp_path, "proc/3/stat", STAT.format(pid=3, comm="containerd", flags=0x400100, start=2))
    os.symlink("/usr/bin/containerd (deleted)", tmp_path / "proc/3/exe")

    assert process.facts(tree, 2).kernel_thread
    assert process.facts(tree, 3).exe == "/usr/bin/containerd"


def test_no_process_and_no_statistics(tmp_path: Path) -> None:
    tree = put(tmp_path, "proc/4/stat", "")

    with pytest.raises(Gone):
        process.facts(tree, 5)
    with pytest.raises(Rejected, match="no process statistics"):
        process.facts(tree, 4)


def test_status_in_bytes(tmp_path: Path) -> None:
    tree = put(tmp_path, "proc/9/status", "Name:\tx kB\nVmRSS:\t    12 kB\nVmSwap:\t 3 kB\nThreads:\t4\n")

    assert process.status(tree, 9) == {"VmRSS": 12288, "VmSwap": 3072}
    assert process.all_pids(tree) == (9,)


@pytest.mark.parametrize(("text", "score"), [("667\n", 667), ("0\n", 0), ("2000\n", 2000)])
def test_oom_score(tmp_path: Path, text: str, score: int) -> None:
    (tmp_path / "proc/9").mkdir(parents=True)
    (tmp_path / "proc/9/oom_score").write_text(text)

    assert process.oom_score(Tree(tmp_path), 9) == score


@pytest.mark.parametrize("text", ["", "-5\n", "much\n"])
def test_what_is_no_oom_score_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "proc/9").mkdir(parents=True)
    (tmp_path / "proc/9/oom_score").write_text(text)

    with pytest.raises(Rejected, match="is no score"):
        process.oom_score(Tree(tmp_path), 9)


def test_this_very_process() -> None:
    tree = Tree()
    facts = process.facts(tree, os.getpid())

    assert facts.start_time > 0
    assert "python" in facts.exe
    assert not facts.kernel_thread
    assert process.status(tree, os.getpid())["VmRSS"] > 1 << 20


SWAPS = """Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/zram0                              partition\t1048572\t\t4\t\t100
/my\\040swap file                        file\t\t2048\t\t0\t\t-2
"""


def test_swap(tmp_path: Path) -> None:
    found = swap.read(put(tmp_path, "proc/swaps", SWAPS))

    assert (found.total_bytes, found.free_bytes) == (1050620 * 1024, 1050616 * 1024)
    assert [device.name for device in found.devices] == ["/dev/zram0", "/my swap file"]
    assert [device.priority for device in found.devices] == [100, -2]


@pytest.mark.parametrize("text", [SWAPS.splitlines()[0], ""])
def test_no_swap(tmp_path: Path, text: str) -> None:
    assert swap.read(Tree(tmp_path)) == swap.Swap()
    assert swap.read(put(tmp_path, "proc/swaps", text)) == swap.Swap()


def test_pressure(tmp_path: Path) -> None:
    text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    tree = put(tmp_path, "proc/pressure/memory", text)

    assert pressure.read(tree) == pressure.Pressure(some_us=99, full_us=7)
    with pytest.raises(Gone):
        pressure.read(tree, "/sys/fs/cgroup/x/memory.pressure")


def test_boot_and_kernel(tmp_path: Path) -> None:
    tree = put(tmp_path, "proc/sys/kernel/random/boot_id", "c0ffee\n")

    assert boot.boot_id(tree) == "c0ffee"
    assert boot.kernel(tree) == "unknown"


def test_vmstat(tmp_path: Path) -> None:
    assert vmstat.read(put(tmp_path, "proc/vmstat", "pswpin 1\npswpout 2\n")) == {"pswpin": 1, "pswpout": 2}


@pytest.mark.parametrize(("text", "numbers"), [("0-2,5\n", {0, 1, 2, 5}), ("\n", set()), ("3", {3}), ("0,2", {0, 2})])
def test_lists(text: str, numbers: set[int]) -> None:
    assert numa.parse_list(text) == numbers


def test_a_node_without_processors(tmp_path: Path) -> None:
    assert numa.nodes(Tree(tmp_path)) == ()
    for name, text in {"online": "0-1", "has_cpu": "0", "has_memory": "0-1"}.items():
        put(tmp_path, f"sys/devices/system/node/{name}", text)

    assert numa.nodes(Tree(tmp_path)) == (
        numa.Node(number=0, has_cpu=True, has_memory=True),
        numa.Node(number=1, has_cpu=False, has_memory=True),
    )
