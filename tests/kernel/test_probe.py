"""Features: tried on ourselves where this is the running system, judged by files elsewhere, never by a version."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler.model import Features
from sysfs import damon_probe, probe, trial
from sysfs.damon_probe import Ours
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree
from tests.kernel.fake import MOUNT, FakeKernel
from tests.kernel.fake_damon import FakeDamon

LIVE = Tree()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each test probes as a process that never did."""
    probe._tried.clear()
    yield
    probe._tried.clear()


def test_every_feature_has_a_name_a_detail_and_a_hint() -> None:
    found = probe.features(LIVE)

    assert set(found.features) == set(probe.HINTS)
    assert all(feature.detail for feature in found.features.values())
    assert all(feature.hint for feature in found.features.values() if not feature.works)
    assert found.kernel == os.uname().release
    assert found.page_size == os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("name", trial.TRIALS)
def test_a_trial_ends_with_words_or_with_a_kernel_error(name: str) -> None:
    seen = probe._seen(name, lambda: trial.TRIALS[name](LIVE))

    assert seen.detail
    assert "Errno" not in seen.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_every_linux_gives_to_root() -> None:
    found = probe.features(LIVE)

    assert [name for name in ("pagemap", "mincore") if not found.works(name)] == []


def test_a_feature_that_works_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def works(_tree: Tree) -> str:
        calls.append("works")
        return "fine"

    def fails(_tree: Tree) -> str:
        calls.append("fails")
        raise Gone(2, "No such file or directory", "/nowhere")

    monkeypatch.setattr(trial, "TRIALS", {"pagemap": works, "idle-page": fails})
    looks = [probe.features(LIVE) for _ in range(5)]

    assert calls.count("works") == 1
    assert calls.count("fails") == 3
    assert looks[0].features["idle-page"].detail == "/nowhere: No such file or directory"
    assert looks[4].features["idle-page"] == looks[0].features["idle-page"]


def test_a_trial_that_fails_once_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([Gone(2, "migrated", "/x"), "fine"])

    def second_time(_tree: Tree) -> str:
        answer = next(answers)
        if isinstance(answer, KernelError):
            raise answer
        return str(answer)

    monkeypatch.setattr(trial, "TRIALS", {"idle-page": second_time})

    assert [probe.features(LIVE).works("idle-page") for _ in range(3)] == [False, True, True]


@pytest.fixture
def kernel(fs: FakeFilesystem) -> FakeKernel:
    kernel = FakeKernel(fs, swap=64 << 20)
    kernel.cgroup("/a.slice")
    return kernel


def put(kernel: FakeKernel, path: str, text: str) -> None:
    kernel.fs.create_file(kernel.tree.path(path), contents=text)


def look(kernel: FakeKernel) -> Features:
    return probe.features(kernel.tree)


def test_another_tree_is_judged_by_its_files_alone(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_tree: Tree) -> str:
        pytest.fail("tried on a tree that is not the running system")

    monkeypatch.setattr(trial, "TRIALS", dict.fromkeys(trial.TRIALS, never))
    put(kernel, trial.BITMAP, "")
    put(kernel, "/proc/self/pagemap", "")
    found = look(kernel)

    assert found.cgroup_mount == MOUNT
    assert "memory.swap.max" in found.knobs
    assert {name for name, f in found.features.items() if f.works} == {
        "cgroup2",
        "idle-page",
        "memory.reclaim",
        "pagemap",
        "pagemap-pfn",
        "psi",
        "swap",
    }
    assert "not tried" in found.features["idle-page"].detail


@pytest.mark.parametrize(("flags", "works"), [("rd wr mr mw me ac sd", True), ("rd wr mr mw me ac", False)])
def test_soft_dirty_shows_in_vm_flags(kernel: FakeKernel, flags: str, works: bool) -> None:
    put(kernel, "/proc/self/smaps", f"1000-2000 rw-p\nReferenced: 4 kB\nVmFlags: {flags} \n")

    assert look(kernel).works("soft-dirty") is works
    assert look(kernel).works("referenced")


@pytest.mark.parametrize(
    ("files", "works", "said"),
    [
        ({}, False, "No such file"),
        ({damon_probe.KDAMONDS: "0\n"}, True, "nobody uses it"),
        ({damon_probe.KDAMONDS: "8\n"}, True, "we use it"),
        ({damon_probe.KDAMONDS: "0\n", "/proc/kallsyms": "0 t damon_pa_young\n"}, False, "CONFIG_DAMON_VADDR"),
        ({damon_probe.KDAMONDS: "0\n", "/proc/kallsyms": "0 t damon_va_init\n"}, True, "nobody"),
        ({damon_probe.KDAMONDS: "2\n"}, False, "2 kdamonds made through sysfs"),
        ({damon_probe.KDAMONDS: "0\n", "/sys/module/damon_stat/parameters/enabled": "Y\n"}, False, "damon_stat"),
        ({damon_probe.KDAMONDS: "0\n", "/sys/module/damon_reclaim/parameters/enabled": "N\n"}, True, "nobody"),
    ],
)
def test_damon(kernel: FakeKernel, files: dict[str, str], works: bool, said: str) -> None:
    for path, text in files.items():
        put(kernel, path, text)
    found = probe.features(kernel.tree, Ours(kdamonds=8)).features["damon"]

    assert found.works is works
    assert said in found.detail


SYMBOLS = "f0 t damon_target_idx_show\nf1 t target_nid_show\n"


@pytest.mark.parametrize(
    ("name", "files", "works", "said"),
    [
        ("damon-sysfs", {}, False, "No such file"),
        ("damon-snapshot", {}, False, "No such file"),
        ("damon-snapshot", {damon_probe.KDAMONDS: "1\n"}, False, "before DAMON is used"),
        ("damon-sysfs", {damon_probe.KDAMONDS: "1\n"}, True, "is there"),
        ("damon-snapshot", {damon_probe.KDAMONDS: "1\n", "/proc/kallsyms": SYMBOLS}, True, "6.6"),
        ("damon-migrate", {damon_probe.KDAMONDS: "1\n", "/proc/kallsyms": SYMBOLS}, True, "6.11"),
        ("damon-tune", {damon_probe.KDAMONDS: "1\n", "/proc/kallsyms": SYMBOLS}, False, "older: no access_bp_show"),
        ("damon-young", {damon_probe.KDAMONDS: "1\n", "/proc/kallsyms": SYMBOLS}, False, "older: no addr_unit_show"),
        ("damon-trace", {}, False, "no /sys/kernel/tracing"),
        ("damon-trace", {"/sys/kernel/debug/tracing/events/damon/damon_aggregated/id": "7\n"}, True, "is there"),
    ],
)
def test_what_damon_can_do(kernel: FakeKernel, name: str, files: dict[str, str], works: bool, said: str) -> None:
    for path, text in files.items():
        put(kernel, path, text)
    found = look(kernel).features[name]

    assert found.works is works
    assert said in found.detail


def test_of_the_kernels_functions_only_those_of_damon_are_kept(tmp_path: Path) -> None:
    (tmp_path / "kallsyms").write_text("f0 T start_kernel\nf1 t damon_va_init\t[damon]\nf2 t addr_unit_show\n")

    assert damon_probe._cached(str(tmp_path / "kallsyms")) == b" damon_va_init\n addr_unit_show\n"


@pytest.mark.parametrize(
    ("name", "files", "works"),
    [
        ("mglru", {probe.LRU_GEN: "0x0007\n", probe.LRU_GEN_DEBUG: "memcg 1 /\n"}, True),
        ("mglru", {probe.LRU_GEN: "0x0000\n", probe.LRU_GEN_DEBUG: "memcg 1 /\n"}, False),
        ("damon-stat", {"/sys/module/damon_stat/parameters/enabled": "Y\n"}, True),
        ("damon-stat", {"/sys/module/damon_stat/parameters/enabled": "N\n"}, False),
        ("zswap", {"/sys/module/zswap/parameters/enabled": "Y\n"}, True),
        ("zswap", {"/sys/module/zswap/parameters/enabled": "N\n"}, False),
        ("zram", {"/sys/block/zram0/disksize": "0\n"}, True),
        ("zram", {"/sys/block/sda/size": "0\n"}, False),
        ("numa", {f"/sys/devices/system/node/{n}": "0-1\n" for n in ("online", "has_memory", "has_cpu")}, True),
    ],
)
def test_files_say(kernel: FakeKernel, name: str, files: dict[str, str], works: bool) -> None:
    for path, text in files.items():
        put(kernel, path, text)
    if name == "mglru":  # opened through io.FileIO, which pyfakefs leaves alone
        kernel.tree.open = lambda path, **_: open(kernel.tree.path(path), "rb")  # type: ignore[assignment, method-assign]  # noqa: SIM115

    assert look(kernel).works(name) is works


def test_what_was_seen_comes_back_from_a_capture(tmp_path: Path) -> None:
    seen = probe.features(LIVE)
    folder = tmp_path / ".ebbtide"
    folder.mkdir()
    (folder / "features.json").write_text(probe.record(seen))

    assert probe.features(Tree(tmp_path)) == seen


def test_only_a_tree_with_our_own_pid_is_live(tmp_path: Path) -> None:
    assert probe.is_live(LIVE)
    (tmp_path / "proc").mkdir()
    os.symlink("1", tmp_path / "proc/self")

    assert not probe.is_live(Tree(tmp_path))


def test_the_scrap_is_a_mapping_of_its_own() -> None:
    with trial.Scrap() as scrap:
        lines = [line for line in LIVE.read("/proc/self/maps").splitlines() if line.startswith(f"{scrap.start:08x}-")]
        assert lines[0].startswith(f"{scrap.start:08x}-{scrap.end:08x} rw-p")
        assert scrap.read(3) == 3


def test_probing_never_touches_foreign_kdamonds(kernel: FakeKernel) -> None:
    damon = FakeDamon(kernel)
    damon.foreign()
    damon.in_flight = True
    found = look(kernel).features["damon"]

    assert "1 kdamond made through sysfs" in found.detail
    assert kernel.writes == []
