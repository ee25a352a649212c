"""The guest's disk: a Debian suite with everything the stories need, made once and then only copied from."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("VM_CACHE", Path.home() / ".cache/vm"))
SUITES = ("trixie", "forky")
FORGET_DAYS = 14

PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "linux-image-amd64",
    "kmod",
    "procps",
    "iproute2",
    "util-linux",
    "numactl",
    "busybox-static",
    "less",
    "zstd",
    "containerd",
    "runc",
    "protobuf-compiler",
    "golang-github-kubernetes-cri-api-dev",
    "python3",
    "python3-venv",
    "python3-numpy",
    "python3-grpcio",
    "python3-protobuf",
    "python3-watchdog",
    "python3-jsonschema",
    "python3-yaml",
    "python3-sdnotify",
    "python3-prometheus-client",
    "python3-rich",
    "python3-psutil",
    "python3-pytest",
    "python3-pyfakefs",
    "python3-hypothesis",
    "strace",
    "xfsprogs",
    "btrfs-progs",
]

# The Go packages are wanted for two .proto files, out of 370 MB.
UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/gocode/src")
WANTED = ("k8s.io/cri-api/pkg/apis/runtime/v1/api.proto", "github.com/gogo/protobuf/gogoproto/gogo.proto")

# Our command is the machine's purpose: nothing of this may compete with it for two emulated CPUs.
MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "dpkg-db-backup.timer",
    "man-db.timer",
    "systemd-networkd-wait-online.service",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
]

AGENT_UNIT = """[Unit]
Description=Run the command handed to this virtual machine
After=multi-user.target
[Service]
Type=exec
ExecStart=/usr/local/sbin/vm-agent
StandardOutput=null
[Install]
WantedBy=graphical.target
"""

AGENT = r"""#!/bin/bash
modprobe -q 9pnet_virtio; modprobe -q 9p; modprobe -q overlay; modprobe -q zram num_devices=1
mkdir -p /src /out
share() { mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$3 "$1" "$2" 2>/dev/null; }
share out /out rw
share src /src ro,cache=loose
touch /out/.started
mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
cd /root
export PYTHONPATH=/src PYTHONPYCACHEPREFIX=/var/cache/pycache HOME=/root
if [ -e /out/.shell ]; then
    dmesg -n 1
    setsid -c bash /out/.shell </dev/ttyS0 >/dev/ttyS0 2>&1
else
    bash /out/.command >/out/.log 2>&1 </dev/null
fi
echo $? >/out/.status
sync
systemctl poweroff -ff
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    disk: Path
    kernel: Path
    initrd: Path


def build(suite: str) -> Image:
    """The suite's image; made now if there is none for this list of packages (about two minutes)."""
    recipe = "".join([*PACKAGES, *UNWANTED, *WANTED, *MASKED, AGENT_UNIT, AGENT])
    disk = CACHE / f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.img"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".{suite}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not disk.exists():
            make(suite, disk)
        os.utime(disk)
        forget(suite)
    return Image(disk=disk, kernel=disk.with_suffix(".vmlinuz"), initrd=disk.with_suffix(".initrd.img"))


def forget(suite: str) -> None:
    """Images that nobody has used for long; another checkout may still use an older recipe."""
    for disk in CACHE.glob(f"{suite}-*.img"):
        if disk.suffixes == [".img"] and disk.stat().st_mtime < time.time() - FORGET_DAYS * 86400:
            for file in CACHE.glob(disk.stem + ".*"):
                file.unlink()


def make(suite: str, disk: Path) -> None:
    print(f"vm: making the image of {suite}, about two minutes", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        root = Path(work) / "root"
        debootstrap(suite, root)
        shrink(root)
        settle(root)
        for kind in ("vmlinuz", "initrd.img"):
            shutil.copy(newest(root / "boot", kind), disk.with_suffix("." + kind))
        part = disk.with_suffix(".part")
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-d", str(root), "-L", "root", str(part), "6G"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        part.rename(disk)


def debootstrap(suite: str, root: Path) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(PACKAGES), "--format=directory"]
    subprocess.run(
        [*command, '--aptopt=Acquire::Check-Valid-Until "false"', suite, str(root), mirror()],
        check=True,
    )


def shrink(root: Path) -> None:
    go = root / "usr/share/gocode/src"
    kept = {name: (go / name).read_bytes() for name in WANTED if (go / name).exists()}
    for folder in UNWANTED:
        shutil.rmtree(root / folder, ignore_errors=True)
    for name, content in kept.items():
        (go / name).parent.mkdir(parents=True)
        (go / name).write_bytes(content)


def settle(root: Path) -> None:
    """What the packages do not do by themselves: names, the agent, and silence."""
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw,noatime 0 1\n", encoding="ascii")
    (root / "etc/hostname").write_text("vm\n", encoding="ascii")
    (root / "etc/systemd/system/vm-agent.service").write_text(AGENT_UNIT, encoding="ascii")
    agent = root / "usr/local/sbin/vm-agent"
    agent.write_text(AGENT, encoding="ascii")
    agent.chmod(0o755)
    for command in (
        ["passwd", "-d", "root"],
        ["systemctl", "enable", "-q", "vm-agent.service"],
        ["systemctl", "disable", "-q", "containerd.service"],
        ["systemctl", "mask", "-q", *MASKED],
    ):
        subprocess.run(["chroot", str(root), *command], check=True, capture_output=True)


def newest(folder: Path, kind: str) -> Path:
    return max(folder.glob(kind + "-*"))


def mirror() -> str:
    """The mirror this machine itself uses."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if path.exists() and (found := re.search(r"(https?://\S+/debian)/?\s", path.read_text(encoding="utf-8"))):
            return found[1]
    sys.exit("vm: no Debian mirror found in /etc/apt: this needs a Debian machine")
