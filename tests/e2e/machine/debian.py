"""Debian's own kernels of other versions, to boot the same disk with: fetched, unpacked, and given an initrd of ours.

Packages are only downloaded and unpacked, with apt lists of their own: nothing of this machine changes. The initrd has
the modules that a guest needs, mounts the disk, hands it those modules, and starts its init.
"""

import fcntl
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.machine import image

SUITES = ("bookworm", "trixie", "trixie-backports")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FIRST = ("virtio_pci", "virtio_blk", "crc32c_generic", "crc32c_intel", "libcrc32c", "ext4")  # loaded before the disk
LATER = (
    *("9p", "9pnet_virtio", "overlay", "zram", "autofs4", "configfs", "dm_mod", "loop", "binfmt_misc"),
    *("lzo", "lzo-rle", "lz4", "zstd", "842", "deflate"),  # compressors are asked for by name, not depended on
)

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
for module in MODULES; do /bin/busybox insmod /modules/$module.ko; done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /root
/bin/busybox mount -t tmpfs none /root/usr/lib/modules
/bin/busybox mkdir /root/usr/lib/modules/RELEASE
/bin/busybox cp /modules/* /root/usr/lib/modules/RELEASE/
/bin/busybox chroot /root /sbin/depmod RELEASE 2>/dev/null
/bin/busybox umount /proc /sys
exec /bin/busybox switch_root /root /sbin/init
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    image: Path
    initrd: Path | None  # None: its drivers are built in


def kernel(version: str) -> Kernel:
    """The newest of `6.1`, `6.12`, `7.2` ... that Debian has; fetched once."""
    made_of = hashlib.sha256(repr((INIT, FIRST, LATER)).encode()).hexdigest()[:12]
    stem = image.CACHE / f"debian-{version}-{made_of}"
    found, initrd = stem.with_name(f"{stem.name}.vmlinuz"), stem.with_name(f"{stem.name}.initrd")
    image.CACHE.mkdir(parents=True, exist_ok=True)
    with open(image.CACHE / ".debian.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            make(version, found, initrd)
    return Kernel(image=found, initrd=initrd)


def make(version: str, vmlinuz: Path, initrd: Path) -> None:
    print(f"vm: fetching Debian's kernel {version}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=image.CACHE) as work:
        folder = Path(work)
        unpacked = fetch(version, folder)
        release, files = modules(unpacked)
        init = INIT.replace("MODULES", " ".join(ordered(files, FIRST))).replace("RELEASE", release)
        content = {f"modules/{name}.ko": files[name] for name in ordered(files, FIRST + LATER)}
        archive = newc({"init": init.encode(), "bin/busybox": busybox(folder), **content})
        initrd.write_bytes(gzip.compress(archive, 1))
        part = folder / "vmlinuz"
        shutil.copy(next(path for path in unpacked.rglob("vmlinuz*") if not path.is_symlink()), part)
        part.rename(vmlinuz)


# -- packages --------------------------------------------------------------------------------------------------------


def fetch(version: str, folder: Path) -> Path:
    """A folder with the unpacked packages of the newest kernel of this version."""
    apt = Apt(folder)
    name = newest(apt.run("apt-cache", "pkgnames", "linux-image-").split(), version)
    depends = apt.run("apt-cache", "depends", "--no-recommends", "--no-suggests", name)
    apt.run("apt-get", "-q", "download", name, *parts(name, depends))
    unpacked = folder / "unpacked"
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], check=True)
    return unpacked


def parts(name: str, depends: str) -> list[str]:
    """The packages that a kernel comes in since 6.19, from what apt says about it."""
    if gone := re.findall(r"Depends: <(linux-(?:binary|modules)-\S+)>", depends):
        sys.exit(f"vm: Debian lists {name}, but no longer {', '.join(gone)} that it needs: take another version")
    return re.findall(r"Depends: (linux-(?:binary|modules)-\S+)", depends)


def newest(names: list[str], version: str) -> str:
    """Of all kernels, neither the real-time nor the cloud flavour."""
    plain = re.compile(rf"linux-image-{re.escape(version)}(?:[.+-][0-9.+~a-z]*)?(?:-[0-9]+)?-amd64")
    found = [name for name in names if plain.fullmatch(name)]
    if not found:
        sys.exit(f"vm: Debian has no kernel {version} in {', '.join(SUITES)}")
    return max(found, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])


class Apt:
    """apt with sources, lists and cache in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        lines = [f"deb [signed-by={KEYRING}] {image.mirror()} {suite} main\n" for suite in SUITES]
        (folder / "sources.list").write_text("".join(lines), encoding="ascii")
        self.run("apt-get", "-q", "update")

    def run(self, program: str, *words: str) -> str:
        places = {
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.folder / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Check-Valid-Until": "false",
        }
        told = [word for key, value in places.items() for word in ("-o", f"{key}={value}")]
        done = subprocess.run([program, *told, *words], cwd=self.folder, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout


# -- the initrd ------------------------------------------------------------------------------------------------------


def modules(unpacked: Path) -> tuple[str, dict[str, bytes]]:
    """The kernel's release, and every module that may be wanted, by its file's name."""
    tree = next(path for path in unpacked.rglob("modules/*") if (path / "kernel").is_dir())
    found = {path.name.partition(".ko")[0]: path for path in tree.rglob("*.ko*")}
    wanted, loaded = list(FIRST + LATER), dict[str, bytes]()
    while wanted:
        name = wanted.pop()
        for known in {name, name.replace("_", "-"), name.replace("-", "_")} & set(found) - set(loaded):
            loaded[known] = plain(found[known])
            wanted += depends(loaded[known])
    return tree.name, loaded


def plain(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def depends(module: bytes) -> list[str]:
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in (found[1].decode() if found else "").split(",") if name]


def ordered(files: dict[str, bytes], names: tuple[str, ...]) -> list[str]:
    """These and what they need, in an order in which they can be loaded; what is built in has no file."""
    known = {name.replace("-", "_"): name for name in files}
    result: dict[str, None] = {}

    def take(name: str) -> None:
        file = known.get(name.replace("-", "_"))
        if file is not None and file not in result:
            for each in depends(files[file]):
                take(each)
            result[file] = None

    for name in names:
        take(name)
    return list(result)


def busybox(folder: Path) -> bytes:
    """Of the guest's disk, which has a static one."""
    out, disk = folder / "busybox", image.build("trixie").disk
    subprocess.run(["debugfs", "-R", f"dump /usr/bin/busybox {out}", str(disk)], check=True, capture_output=True)
    return out.read_bytes()


def newc(files: dict[str, bytes]) -> bytes:
    """A cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst); all files can be executed."""
    folders = sorted({os.path.dirname(name) for name in files} - {""})
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in folders]
    entries += [(name, stat.S_IFREG | 0o755, content) for name, content in files.items()]
    return b"".join(chunk for entry in [*entries, ("TRAILER!!!", 0, b"")] for chunk in record(*entry))


def record(name: str, mode: int, content: bytes) -> Iterator[bytes]:
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    for part in (head, content):
        yield part + bytes(-len(part) % 4)
