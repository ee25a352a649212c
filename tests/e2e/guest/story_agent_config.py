"""The agent as class files and people ask for it: parts come and go, pause, release, and a daemon that is killed."""

import json
import time
from pathlib import Path
from typing import Any

from tests.e2e.guest import ebbtide, groups, poll

Services = dict[str, ebbtide.Service]

FILE = "50-agent.yaml"
SECTIONS = """
memcg: {swap: true, period_secs: 60}
compact: {period_secs: 60}
classes:
  - name: story
    reclaim: {interval: 2s, step: 1%, floor: 1MiB}
"""
SWAP = """
swap: {enable_guest_swap: true, kind: zram, guest_swap_size_percent: 5%, guest_swap_create_threshold_secs: 1s}
"""
SWITCHES = Path("/sys/kernel/mm/lru_gen/enabled")
ALL_ON = "0x0007"


def agent() -> dict[str, Any]:
    return dict(ebbtide.report().get("agent") or {})


def doing(expected: str) -> None:
    poll.until(f"the agent does: {expected}", lambda: agent().get("doing") == expected)


def probe() -> dict[str, Any]:
    listed = (agent().get("reclaim") or {}).get("workloads") or [{}]
    return dict(listed[0])


def swaps() -> set[str]:
    return {line.split()[0] for line in Path("/proc/swaps").read_text(encoding="ascii").splitlines()[1:]}


def remove_file() -> None:
    (ebbtide.CLASSES / FILE).unlink(missing_ok=True)


def test_parts_come_and_go_with_their_sections(product: Services) -> None:
    before = SWITCHES.read_text(encoding="ascii").strip()
    SWITCHES.write_text("1", encoding="ascii")
    with groups.managed("agent-story") as group:
        groups.Exerciser(group, "--idle", "64M", "--write", "4M", "--rate", "4")
        ebbtide.drop(FILE, SECTIONS)
        doing("memcg, compact, reclaim of 1")
        poll.until("all switches of MGLRU are on", lambda: SWITCHES.read_text(encoding="ascii").strip() == ALL_ON)
        poll.until("the workload is probed", lambda: probe().get("usage_bytes", 0))
        assert json.loads(ebbtide.cli("verify", "-o", "json", ok=(0, 1)))["differences"] == []
        print(ebbtide.cli("status", ok=(0, 1)), ebbtide.cli("explain", "agent-story"), sep="\n", flush=True)

        ebbtide.cli("pause")
        poll.until("a paused agent observes", lambda: agent()["observe"])
        time.sleep(7)  # a step that was under way is told at the next refresh
        taken = probe()["taken_bytes"]
        poll.never("a paused agent takes memory", lambda: probe()["taken_bytes"] > taken, seconds=12)
        ebbtide.cli("resume")
        poll.until("it goes on", lambda: not agent()["observe"])

        ebbtide.cli("release", "agent-story")
        doing("memcg, compact")
        assert agent()["kept"]["/agent-story"] == "released by an administrator"
        ebbtide.cli("release")
        doing("off")
        poll.until("MGLRU's switches are as before", lambda: SWITCHES.read_text(encoding="ascii").strip() == "0x0001")
        ebbtide.cli("resume")
        doing("memcg, compact, reclaim of 1")
        remove_file()
        doing("off")
    SWITCHES.write_text(before, encoding="ascii")


def test_swap_outlives_a_killed_daemon_and_goes_with_its_section(product: Services) -> None:
    others = swaps()
    ebbtide.drop(FILE, SWAP)
    (device,) = poll.until("there is swap of ours", lambda: swaps() - others)
    product["daemon"].kill()
    assert device in swaps(), "a killed daemon changes nothing"
    product["daemon"].start()
    doing("swap")
    assert swaps() - others == {device}, "it is taken up again"

    product["daemon"].kill()
    remove_file()
    product["daemon"].start()
    poll.until("what a killed daemon left is gone", lambda: swaps() == others)


def test_release_without_a_daemon_gives_swap_back(product: Services) -> None:
    others = swaps()
    ebbtide.drop(FILE, SWAP)
    poll.until("there is swap of ours", lambda: swaps() - others)
    product["daemon"].stop()
    assert swaps() != others, "a stopped daemon leaves it"
    ebbtide.cli("release")
    assert swaps() == others
    ebbtide.cli("resume", ok=(0, 1))
    remove_file()
    product["daemon"].start()
