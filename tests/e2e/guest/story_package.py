"""The DEB on this machine: installed by apt, units as shipped, a pod managed through an upgrade, removed, purged.

`./run deb` has built it; the sandbox of the unit is the real one, so what works here works inside it.
"""

import os
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.guest import ebbtide, memory, pods, poll
from tests.e2e.guest.story_classes import NAME, ORIGINAL

DIST = Path("/src/dist")
NEXT = Path("/root/ebbtide-next.deb")
SECONDS = 5
# The example's own words, with times for an emulated machine.
CLASS = """engine: {cpupercent: 100}
classes:
  - name: story
    allowswap: true
    memory: {high: 50%, low: 10M}
    memtierdconfig:
      policy: {name: age, config: {interval: 5s, swapout: 5s, tracker: {name: auto}, mover: {bandwidth: 200MiB}}}
"""
WANTED = {"memory.swap.max": "max", "memory.high": str(256 << 20), "memory.low": str(10 << 20)}
UNITS = ("ebbtide", "ebbtide-nri")
# What the stories tell Python (PYTHONPATH, PYTHONPYCACHEPREFIX) is not for packages.
QUIET = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
QUIET["DEBIAN_FRONTEND"] = "noninteractive"


def apt(*words: str) -> str:
    done = subprocess.run(
        ["apt-get", "-y", "--no-install-recommends", *words], env=QUIET, check=False, capture_output=True, text=True
    )
    print(f"  apt-get {' '.join(words)}: {done.returncode}", *done.stdout.splitlines()[-8:], sep="\n    ", flush=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def active(unit: str) -> bool:
    return poll.command("systemctl", "is-active", unit, ok=(0, 3, 4)).strip() == "active"


def pid(unit: str) -> int:
    return int(poll.command("systemctl", "show", "--property=MainPID", "--value", unit))


def converged(container: pods.Container) -> bool:
    return all(container.knob(knob) == value for knob, value in WANTED.items())


def made_next() -> None:
    """The same package under a later version, as an upgrade would bring it."""
    folder = "/root/next"
    deb = next(DIST.glob("ebbtide_*_all.deb"))
    poll.command("dpkg-deb", "-R", str(deb), folder)
    control = Path(folder) / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 99."))
    poll.command("dpkg-deb", "-b", folder, str(NEXT))


def scraped() -> str:
    try:
        with urllib.request.urlopen("http://127.0.0.1:9758/metrics", timeout=60) as answer:
            text = str(answer.read().decode())
    except OSError:
        return ""
    return text if 'state="converged"} 1.0' in text else ""


def left_behind() -> list[str]:
    places = ("/etc", "/usr", "/var/lib", "/run", "/var/cache/ebbtide")
    found = subprocess.run(
        ["find", *places, "-xdev", "-path", "/var/lib/dpkg", "-prune", "-o", "-iname", "*ebbtide*", "-print"],
        check=False,
        capture_output=True,
        text=True,
    )
    return found.stdout.splitlines()


@pytest.mark.skipif(not list(DIST.glob("*.deb")), reason="no package in dist/: run `./run deb`")
def test_install_use_upgrade_remove_purge(client: object, run_pod: Callable[..., pods.Pod]) -> None:
    apt("install", str(next(DIST.glob("ebbtide_*_all.deb"))))
    for unit in UNITS:
        poll.until(f"{unit} runs", lambda unit=unit: active(unit), seconds=120)  # type: ignore[misc]
    poll.until("the first report", ebbtide.report)
    print(poll.command("ebbtide", "status", ok=(0, 1)), poll.command("ebbtide", "doctor", ok=(0, 1)), flush=True)

    ebbtide.drop(NAME, CLASS)
    annotations = {"class.memtierd.nri.io": "story"}
    command = ["python3", pods.EXERCISER, "--idle", "64M", "--write", "16M", "--rate", "2"]
    spec = {"name": "c", "command": command, "resources": {"limits": {"memory": "512Mi"}}}
    pod = run_pod({"metadata": {"name": "story", "annotations": annotations}, "spec": {"containers": [spec]}})
    pod.start()
    container = pod["c"]
    poll.until("the kernel shows what the class asks for", lambda: converged(container), seconds=120)
    idle = container.ranges("idle")
    poll.until(
        "the idle memory is in swap, moved from inside the sandbox",
        lambda: memory.pages(container.pid, idle).share() > 0.9,
        seconds=240,
        pause=3,
    )
    print(poll.command("ebbtide", "status", ok=(0, 1)), flush=True)

    poll.command("systemctl", "stop", "ebbtide.service")
    poll.command("systemctl", "enable", "--now", "ebbtide-metrics.socket")
    poll.command("systemctl", "start", "ebbtide.service")
    text = poll.until("metrics are told over HTTP, from a sandbox without network", scraped)
    assert 'ebbtide_workloads{class="story",state="converged"} 1.0' in text

    made_next()
    before = {unit: pid(unit) for unit in UNITS}
    apt("install", str(NEXT))
    assert converged(container), "an upgrade changes nothing"
    poll.until("both run again", lambda: all(active(unit) and pid(unit) != before[unit] for unit in UNITS))
    assert "99." in poll.command("dpkg-query", "-W", "-f", "${Version}", "ebbtide")
    poll.until("the workload is converged", lambda: ebbtide.workload(container.id).get("state") == "converged")
    assert converged(container)

    apt("remove", "ebbtide")
    found = {knob: container.knob(knob) for knob in ORIGINAL}
    assert found == ORIGINAL, "removal puts original values back"
    assert not any(active(unit) for unit in UNITS)

    apt("purge", "ebbtide")
    ebbtide.clear_classes()
    assert left_behind() == []
