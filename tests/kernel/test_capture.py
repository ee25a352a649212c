"""A captured machine comes back as it was, and a foreign archive can do no harm."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler import observe
from sysfs import capture, cgroup, probe, process, swap
from sysfs.errors import Rejected
from sysfs.tree import Tree
from tests.kernel.fake import MOUNT, FakeKernel


def test_this_machine(tmp_path: Path) -> None:
    live, file = Tree(), str(tmp_path / "x.tar.gz")
    count = capture.capture(live, file)

    with capture.replay(file) as tree:
        assert count > 20
        assert probe.features(tree) == probe.features(live)
        assert not probe.is_live(tree)
        assert process.facts(tree, os.getpid()) == process.facts(live, os.getpid())
        assert swap.read(tree).total_bytes == swap.read(live).total_bytes
        root = tree.root
    assert not os.path.exists(root)
    assert os.stat(file).st_mode & 0o077 == 0


def test_nothing_private_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "x.tar.gz"
    capture.capture(Tree(), str(file))

    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert [n for n in names if n.endswith(("/environ", "/cmdline", "/mem", "/maps", "/smaps"))] == []
    assert {name.split("/")[0] for name in names} == {"proc", "sys", ".ebbtide"}


def test_cgroups_of_a_fake_kernel(fs: FakeFilesystem) -> None:
    kernel = FakeKernel(fs, swap=1 << 20)
    kernel.process(70, kernel.cgroup("/pods/one", memory_max="64M"), anon=8192)
    fs.create_dir("/out")
    fs.create_dir(
        "/tmp",
    ) if not fs.exists("/tmp") else None
    capture.capture(kernel.tree, "/out/x.tar.gz", {"/opt/nri/plugins/10-other": ""})
    wanted = {"w": "/pods/one"}
    features = kernel.features()

    with capture.replay("/out/x.tar.gz") as tree:
        assert cgroup.mount(tree) == MOUNT
        assert tree.list("/opt/nri/plugins") == ("10-other",)
        assert cgroup.processes(tree, MOUNT + "/pods") == (70,)
        seen = observe.observe(tree, features, wanted, {}).workloads["w"]
    assert seen.knobs == observe.observe(kernel.tree, features, wanted, {}).workloads["w"].knobs
    assert seen.usage_bytes == 8192


def test_a_folder_is_a_tree(tmp_path: Path) -> None:
    with capture.replay(str(tmp_path)) as tree:
        assert tree.root == str(tmp_path)
    assert tmp_path.exists()


def archive(path: Path, *entries: tarfile.TarInfo) -> str:
    with tarfile.open(path, "w:gz") as file:
        for entry in entries:
            file.addfile(entry, io.BytesIO(b"x" * entry.size))
    return str(path)


def entry(name: str, size: int = 1, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../evil")],
        [entry("proc/../../evil")],
        [entry("/etc/evil")],
        [entry("sys", kind=tarfile.SYMTYPE, link="/etc"), entry("sys/evil")],
        [entry("proc/swaps", kind=tarfile.SYMTYPE, link="/etc/shadow")],
        [entry("proc/swaps", kind=tarfile.LNKTYPE, link="/etc/shadow")],
        [entry("proc/1/exe/x/exe", kind=tarfile.SYMTYPE, link="/")],
        [entry("dev/null", kind=tarfile.CHRTYPE)],
        [entry("proc/fifo", kind=tarfile.FIFOTYPE)],
        [entry("proc/swaps", size=capture.FILE_BYTES * 5)],
        [entry("proc/swaps"), entry("proc/swaps")],
        [entry("proc/7/exe", kind=tarfile.SYMTYPE, link="/"), entry("proc/7/exe/tmp/evil")],
    ],
    ids=lambda entries: " + ".join(e.name for e in entries),
)
def test_foreign_archives(tmp_path: Path, entries: list[tarfile.TarInfo]) -> None:
    path = archive(tmp_path / "x.tar.gz", *entries)

    with pytest.raises(Rejected), capture.replay(path):
        pytest.fail("accepted")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00garbage"])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(Rejected, match="doctor --capture"), capture.replay(str(tmp_path / "x")):
        pytest.fail("accepted")
