"""Start one machine, run one command in it as root, hand back its exit status."""

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.machine import image, topology

# Under emulation `max` crashes guests more often; without PCID every context switch flushes the emulated TLB, so that
# Accessed bits appear soon; a program using AVX2 (numpy's sorting) was seen to crash.
CPU = "Haswell-noTSX,-hle,-rtm,-pcid,-tsc-deadline,-invpcid,-avx,-avx2,-fma,-f16c"
BOOT_ATTEMPTS = 3  # software emulation now and then crashes a guest kernel while it boots
BOOT_SECONDS = 150
BROKEN = 125  # our exit status when the machine itself failed, as git bisect and timeout(1) have it
KERNEL_LINE = "console=ttyS0 root=/dev/vda rw quiet mitigations=off nowatchdog psi=1 panic=-1 oops=panic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    suite: str = "trixie"
    kernel: Path | None = None  # None = the suite's own, with its initrd
    initrd: Path | None = None
    cpus: int = 2
    nodes: topology.Topology
    append: str = ""  # more kernel parameters
    src: Path | None = None  # seen read-only at /src
    timeout: float = 600  # seconds


def run(machine: Machine, command: Sequence[str], out: Path | None = None) -> int:
    """Run COMMAND, show what it prints; files it leaves in /out come back in `out`."""
    with folder(out) as shared:
        (shared / ".command").write_text(shlex.join(command) + "\n", encoding="utf-8")
        (shared / ".shell").unlink(missing_ok=True)
        console = shared / ".console"
        qemu = arguments(machine, shared, ["-serial", f"file:{console}"])
        for attempt in range(BOOT_ATTEMPTS):
            if attend(qemu, shared, machine.timeout):
                return status(shared, console)
            print(f"vm: boot {attempt + 1} of {BOOT_ATTEMPTS} did not reach the command", file=sys.stderr)
        return status(shared, console)


def shell(machine: Machine, command: Sequence[str], out: Path | None = None) -> int:
    """The same on this terminal: a person types, Ctrl-C goes to the guest; leaving the shell ends the machine."""
    size = shutil.get_terminal_size()
    lines = f"export TERM={os.environ.get('TERM', 'linux')}\nstty sane rows {size.lines} cols {size.columns}\n"
    with folder(out) as shared, raw_terminal():
        (shared / ".status").unlink(missing_ok=True)
        (shared / ".shell").write_text(f"{lines}exec {shlex.join(command) or 'bash -i'}\n", encoding="utf-8")
        print("vm: booting, about 25 s; Ctrl-D leaves, Ctrl-A X kills the machine\r", file=sys.stderr, flush=True)
        subprocess.run(arguments(machine, shared, ["-serial", "mon:stdio"]), check=False)
        return status(shared, shared / ".console")


def arguments(machine: Machine, out: Path, serial: Sequence[str]) -> list[str]:
    made = image.build(machine.suite)
    initrd = machine.initrd or (None if machine.kernel else made.initrd)
    return [
        "qemu-system-x86_64",
        *["-accel", "tcg,thread=multi,tb-size=512", "-cpu", CPU, "-smp", str(machine.cpus)],
        *["-m", f"{machine.nodes.memory_mib()}M", *machine.nodes.arguments()],
        *["-display", "none", "-no-reboot", "-nodefaults", *serial],
        *["-kernel", str(machine.kernel or made.kernel), *(["-initrd", str(initrd)] if initrd else [])],
        *["-append", f"{KERNEL_LINE} {machine.append}"],
        *["-drive", f"file={made.disk},if=virtio,format=raw,cache=unsafe,snapshot=on"],
        *share("out", out, "off"),
        *(share("src", machine.src, "on") if machine.src else []),
    ]


def share(tag: str, path: Path, readonly: str) -> list[str]:
    return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap,readonly={readonly}"]


def attend(command: Sequence[str], out: Path, timeout: float) -> bool:
    """Run the machine to its end, echoing what the command prints; False if the command never started."""
    started, log = out / ".started", out / ".log"
    for old in (started, out / ".status"):
        old.unlink(missing_ok=True)
    log.write_text("", encoding="ascii")
    begin = time.monotonic()
    with (
        subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent) as machine,  # noqa: PLW1509  single thread
        open(log, encoding="utf-8", errors="replace") as lines,
    ):
        while machine.poll() is None:
            time.sleep(0.2)
            print(lines.read(), end="", flush=True)
            spent = time.monotonic() - begin
            if spent > timeout or (spent > BOOT_SECONDS and not started.exists()):
                print(f"vm: stopped after {spent:.0f} s", file=sys.stderr)
                machine.kill()
        print(lines.read(), end="", flush=True)
    return started.exists()


def status(out: Path, console: Path) -> int:
    found = out / ".status"
    if found.exists() and (text := found.read_text(encoding="ascii").strip()):
        return int(text)
    tail = console.read_text(encoding="utf-8", errors="replace")[-3000:] if console.exists() else ""
    print(f"{tail}\nvm: the machine stopped without an exit status; the end of its console is above", file=sys.stderr)
    return BROKEN


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no machine outlives its caller


@contextlib.contextmanager
def folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        yield out.resolve()
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Give the terminal back as it was, whatever QEMU did to it."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
