"""The machine as a node of a cluster: swap in compressed memory, containerd with NRI, our image."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from tests.e2e.guest import ociimage, poll

IMAGE = "local.test/guest:1"
SOCKET = "/run/containerd/containerd.sock"
SWAP_MIB = 1024
ZRAM = Path("/sys/block/zram0")
BALANCING = Path("/proc/sys/kernel/numa_balancing")

# The same keys live in different tables: containerd 1.7 reads version 2, containerd 2.x reads version 3.
CONFIG = {
    1: """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "IMAGE"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = SYSTEMD
[plugins."io.containerd.nri.v1.nri"]
  disable = false
""",
    2: """version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "IMAGE"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = SYSTEMD
[plugins.'io.containerd.nri.v1.nri']
  disable = false
""",
}


class Driver(StrEnum):
    SYSTEMD = "systemd"
    CGROUPFS = "cgroupfs"


def swap_on(mib: int = SWAP_MIB) -> None:
    """Compressed swap; the exerciser's pages do not compress, so this much memory may really be needed."""
    if "zram0" in Path("/proc/swaps").read_text(encoding="ascii"):
        return
    (ZRAM / "disksize").write_text(f"{mib}M", encoding="ascii")
    poll.command("mkswap", "/dev/zram0")
    poll.command("swapon", "/dev/zram0")
    Path("/proc/sys/vm/page-cluster").write_text("0", encoding="ascii")  # one major fault brings back one page


@contextmanager
def without_balancing() -> Iterator[None]:
    """The kernel's own would bring memory back to the processors that use it."""
    before = BALANCING.read_text(encoding="ascii") if BALANCING.exists() else ""
    if before:
        BALANCING.write_text("0", encoding="ascii")
    yield
    if before:
        BALANCING.write_text(before, encoding="ascii")


def containerd_version() -> int:
    found = re.search(r"\bv?(\d+)\.\d+\.\d+", poll.command("containerd", "--version"))
    assert found, "containerd tells no version"
    return int(found[1])


def configure(driver: Driver) -> None:
    systemd = "true" if driver == Driver.SYSTEMD else "false"
    text = CONFIG[containerd_version()].replace("IMAGE", IMAGE).replace("SYSTEMD", systemd)
    Path("/etc/containerd").mkdir(exist_ok=True)
    Path("/etc/containerd/config.toml").write_text(text, encoding="ascii")


def start_containerd() -> None:
    poll.command("systemctl", "start", "containerd")
    poll.until("containerd answers", answers, seconds=180)


def stop_containerd() -> None:
    poll.command("systemctl", "stop", "containerd")


def answers() -> bool:
    return subprocess.run(["ctr", "version"], check=False, capture_output=True).returncode == 0


def import_image() -> None:
    archive = Path("/root/image.tar")
    ociimage.write(archive, IMAGE)
    poll.command("ctr", "-n", "k8s.io", "images", "import", str(archive))
