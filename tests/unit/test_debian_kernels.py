"""Which of Debian's kernels a version means, and the initrd that the end-to-end tests boot it with."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.machine import debian

NAMES = [
    "linux-image-6.1.0-9-amd64",
    "linux-image-6.1.0-50-amd64",
    "linux-image-6.1.0-51-amd64-unsigned",
    "linux-image-6.1.0-52-cloud-amd64",
    "linux-image-6.1.0-53-rt-amd64",
    "linux-image-6.12.9+deb13-amd64",
    "linux-image-6.12.43+deb12-amd64",
    "linux-image-6.12.90+deb12.1-amd64",
    "linux-image-6.18.15+deb13-amd64",
    "linux-image-6.18.16+deb13-cloud-amd64",
    "linux-image-7.3-amd64",
    "linux-image-amd64",
]


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("6.1", "linux-image-6.1.0-50-amd64"),
        ("6.12", "linux-image-6.12.90+deb12.1-amd64"),
        ("6.18", "linux-image-6.18.15+deb13-amd64"),
        ("6", "linux-image-6.18.15+deb13-amd64"),
        ("7", "linux-image-7.3-amd64"),
    ],
)
def test_the_newest_plain_kernel_of_a_version(version: str, name: str) -> None:
    assert debian.newest(NAMES, version) == name


def test_a_version_that_is_not_there() -> None:
    with pytest.raises(SystemExit, match=r"Debian has no kernel 6\.2 in bookworm"):
        debian.newest(NAMES, "6.2")


DEPENDS = """
  Depends: <linux-initramfs-tool>
  Depends: linux-binary-7.2.12+deb13-amd64
  Depends: linux-modules-7.2.12+deb13-amd64
"""


def test_parts_of_a_kernel() -> None:
    found = debian.parts("linux-image-7.2.12+deb13-amd64", DEPENDS)
    assert found == ["linux-binary-7.2.12+deb13-amd64", "linux-modules-7.2.12+deb13-amd64"]


def test_a_kernel_whose_parts_are_gone() -> None:
    depends = "  Depends: linux-binary-7.0.13+deb13-amd64\n  Depends: <linux-modules-7.0.13+deb13-amd64>\n"
    with pytest.raises(SystemExit, match=r"no longer linux-modules-7\.0\.13\+deb13-amd64 that it needs"):
        debian.parts("linux-image-7.0.13+deb13-amd64", depends)


def module(depends: str) -> bytes:
    return b"ELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"


FILES = {"ext4": module("jbd2,mbcache"), "jbd2": module("crc-core"), "crc_core": module(""), "mbcache": module("")}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("ext4",), ["crc_core", "jbd2", "mbcache", "ext4"]),
        (("mbcache", "ext4"), ["mbcache", "crc_core", "jbd2", "ext4"]),
        (("builtin", "mbcache"), ["mbcache"]),
    ],
)
def test_modules_come_after_what_they_need(names: tuple[str, ...], found: list[str]) -> None:
    assert debian.ordered(FILES, names) == found


def test_needed_modules_are_found_in_the_package(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/modules/6.1.0-50-amd64/kernel/fs"
    folder.mkdir(parents=True)
    for name, content in {**FILES, "unwanted": module("")}.items():
        (folder / f"{name}.ko").write_bytes(content)

    assert debian.modules(tmp_path) == ("6.1.0-50-amd64", FILES)


def test_the_archive_is_one_that_cpio_reads(tmp_path: Path) -> None:
    archive = debian.newc({"init": b"#!", "bin/busybox": b"12345"})

    assert len(archive) % 4 == 0
    assert [archive[at : at + 6] for at in (0, 112 + 4)] == [b"070701", b"070701"]
    listed = subprocess.run(["sh", "-c", "command -v cpio"], capture_output=True, check=False)
    if listed.returncode == 0:
        done = subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=tmp_path, check=False)
        assert (done.returncode, (tmp_path / "bin/busybox").read_bytes()) == (0, b"12345")
