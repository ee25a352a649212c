"""The product on this node: its two processes as services, its class files, and what it tells about itself."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.guest import poll

CLASSES = Path("/etc/nri/conf.d")
STATE = Path("/var/lib/ebbtide")
RUN = Path("/run/ebbtide")
COMMAND = ("/usr/bin/python3", "-m", "reconciler")
PASSED = ("PYTHONPATH", "PYTHONPYCACHEPREFIX")
SCANNING = "05-emulation.yaml"

# An emulated CPU scans slowly: five percent of it would stretch every interval.
EMULATION = """engine:
  cpupercent: 100
"""


class Service:
    """One of the two processes, under the guest's service manager."""

    def __init__(self, verb: str, *arguments: str) -> None:
        self.verb, self.arguments = verb, arguments
        self.unit = f"ebbtide-{verb}"

    def start(self) -> None:
        """Comes back after READY=1."""
        environment = [f"--setenv={name}={os.environ[name]}" for name in PASSED if name in os.environ]
        properties = ["-pType=notify", "-pTimeoutStartSec=300", "-pTimeoutStopSec=120", "-pWatchdogSec=300"]
        begin = time.monotonic()
        words = ["systemd-run", "--quiet", "--collect", f"--unit={self.unit}", *properties, *environment]
        poll.command(*words, *COMMAND, self.verb, *self.arguments)
        print(f"  {time.monotonic() - begin:6.1f} s  {self.unit} is started", flush=True)

    def stop(self) -> None:
        poll.command("systemctl", "stop", self.unit, ok=(0, 5))
        self.wait_for_end()

    def kill(self) -> None:
        poll.command("systemctl", "kill", "--signal=KILL", self.unit)
        self.wait_for_end()

    def wait_for_end(self) -> None:
        poll.until(f"{self.unit} has ended", lambda: not self.active(), seconds=60, pause=0.2)

    def active(self) -> bool:
        return poll.command("systemctl", "is-active", self.unit, ok=(0, 3, 4)).strip() in {"active", "deactivating"}

    def pid(self) -> int:
        return int(poll.command("systemctl", "show", "--property=MainPID", "--value", self.unit))

    def log(self) -> str:
        return poll.command("journalctl", "--quiet", "--output=cat", f"--unit={self.unit}")


class Plugin(Service):
    def start(self) -> None:
        """It is ready before the runtime has told it everything: wait for that, too."""
        before = self.synchronized()
        super().start()
        poll.until("the runtime has told the plugin what exists", lambda: self.synchronized() > before)

    def synchronized(self) -> int:
        return self.log().count("event=synchronized containers=")


def daemon() -> Service:
    return Service("daemon")


def plugin() -> Plugin:
    return Plugin("nri", "-idx", "40", "-vv")


def cli(*words: str, ok: Sequence[int] = (0,)) -> str:
    return poll.command(*COMMAND, *words, ok=ok)


def drop(name: str, text: str) -> Path:
    """Put a class file into place at once, as packages and configuration management do."""
    CLASSES.mkdir(parents=True, exist_ok=True)
    part = CLASSES / f".{name}.new"
    part.write_text(text, encoding="utf-8")
    return part.rename(CLASSES / name)


def clear_classes() -> None:
    for path in CLASSES.glob("*.yaml"):
        path.unlink()


def report() -> dict[str, Any]:
    """The daemon's own published report; empty while there is none."""
    try:
        return dict(json.loads((RUN / "status.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def workload(container_id: str) -> dict[str, Any]:
    return next((dict(each) for each in report().get("workloads", ()) if each["id"] == container_id), {})


def engine(container_id: str) -> dict[str, Any]:
    return dict(workload(container_id).get("engine") or {})


def show(container_id: str) -> str:
    """One line about a container, for the log of a test run."""
    about = workload(container_id)
    shown = {key: about.get(key) for key in ("state", "reason", "class_name", "swap_bytes")}
    loop = engine(container_id)
    return json.dumps(shown | {key: value for key, value in loop.items() if value})
