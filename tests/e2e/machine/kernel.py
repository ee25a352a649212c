"""Which kernel a machine boots: the suite's own, Debian's of another version, or ours with idle page tracking, which
Debian's kernels leave out.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.machine import debian, image

HERE = Path(__file__).resolve().parents[1] / "kernel"
REPOSITORY = Path(__file__).resolve().parents[3]
NAME = "bzImage-6.12-idlepage"
BUILD_NEEDS = [
    "gcc",
    "libc6-dev",
    "make",
    "flex",
    "bison",
    "bc",
    "libelf-dev",
    "libssl-dev",
    "cpio",
    "xz-utils",
    "curl",
]


def named(name: str | None) -> debian.Kernel | None:
    """None or "" = the suite's own, `idlepage` = ours, a version = Debian's newest of it, else a file."""
    if not name:
        return None
    if name == "idlepage":
        return debian.Kernel(image=idlepage(), initrd=None)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", name):
        return debian.kernel(name)
    return debian.Kernel(image=Path(name), initrd=None)


def idlepage() -> Path:
    """The test kernel: one that was built before, else built now."""
    for known in candidates():
        if known.exists():
            return known
    return build(cached())


def candidates() -> tuple[Path, ...]:
    """VM_KERNEL, a kernel kept beside the checkout, and our own cache."""
    told = os.environ.get("VM_KERNEL", "")
    beside = REPOSITORY.parent / "shared/vm/kernel" / NAME
    return (*([Path(told)] if told else []), beside, cached())


def cached() -> Path:
    """A name that changes with what the kernel is made of, so that a new configuration is built again."""
    made_of = hashlib.sha256((HERE / "defconfig").read_bytes() + (HERE / "build").read_bytes()).hexdigest()[:12]
    return image.CACHE / f"{NAME}-{made_of}"


def build(out: Path) -> Path:
    image.CACHE.mkdir(parents=True, exist_ok=True)
    with open(image.CACHE / ".kernel.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():  # another process may have built it while we waited
            print("vm: building the test kernel, about 15 minutes on two CPUs", file=sys.stderr, flush=True)
            install_compilers()
            part = out.with_suffix(".part")
            subprocess.run([str(HERE / "build"), str(part)], check=True)
            part.rename(out)
    return out


def install_compilers() -> None:
    asked = ["dpkg-query", "-W", "-f", "${Status}\\n", *BUILD_NEEDS]
    told = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    if told.count("install ok installed") < len(BUILD_NEEDS):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *BUILD_NEEDS]
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(install, check=True, env=quiet, stdout=sys.stderr)
