"""The agent changed while it runs: the next pass does what was set, a group looks, what was kept survives a kill."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import persisted
from sysfs import mglru
from tests.e2e.guest import ebbtide, groups, poll

FILE = "50-agent.yaml"
OFF = """
memcg: {disabled: true, period_secs: 3600}
compact: {disabled: true, period_secs: 3600}
classes: [{name: story}]
"""
GROUP, NAME = "adm", "control-story"
CALM = {"period_psi_percent_limit": 255, "compact_psi_percent_limit": 255}
needs_generations = pytest.mark.skipif(not Path(mglru.ENABLED).exists(), reason="this kernel has no MGLRU")


@pytest.fixture(autouse=True)
def daemon(product: dict[str, ebbtide.Service]) -> Iterator[ebbtide.Service]:
    """One whose socket a group may look at, and whose agent is off."""
    ebbtide.drop(FILE, OFF)
    product["daemon"].stop()
    own = ebbtide.Service("daemon", "--control-group", GROUP)
    own.start()
    yield own
    own.stop()
    (ebbtide.CLASSES / persisted.NAME).unlink(missing_ok=True)
    product["daemon"].start()


def ask(section: str, *words: str) -> dict[str, Any]:
    return dict(json.loads(ebbtide.cli(section, *words, "-o", "json")))


def change(section: str, *words: str, **keys: object) -> None:
    print(ebbtide.cli(section, "set", json.dumps(keys), *words), flush=True)


def compacted() -> dict[str, Any]:
    return dict(ask("compact", "status")["report"])


def agings() -> int:
    found = ask("memcg", "status")["report"]["cgroups"]
    return max(
        (each["run_aging_count"] for one in found if one["path"] == f"/{NAME}" for each in one["nodes"]), default=0
    )


def as_user(group: str, *words: str, ok: int) -> str:
    who = ("setpriv", "--reuid=nobody", f"--regid={group}", "--clear-groups")
    return poll.command(*who, *ebbtide.COMMAND, *words, ok=(ok,))


def test_what_is_set_is_what_the_next_pass_does() -> None:
    change("compact", disabled=False, period_secs=2, compact_force_times=0, **CALM)
    poll.until("forced compactions, every two seconds", lambda: compacted()["forced"] >= 2)
    assert "set at runtime: compact" in ebbtide.cli("status", ok=(0, 1))

    change("compact", compact_force_times=(1 << 64) - 1, compact_threshold=1 << 40)
    before = compacted()
    poll.until("more periods", lambda: compacted()["periods"] >= before["periods"] + 3)
    assert compacted()["forced"] <= before["forced"] + 1, "the one that was under way may be counted"

    ebbtide.cli("compact", "reset")
    poll.until("it is off again", lambda: compacted()["state"] == "off")
    assert ask("compact", "get")["values"]["period_secs"] == 3600
    print(ebbtide.cli("events"), flush=True)


@needs_generations
def test_one_workload_is_aged_because_somebody_set_it() -> None:
    with groups.managed(NAME) as group:
        groups.Exerciser(group, "--idle", "32M", "--write", "4M", "--rate", "4")
        poll.until("the workload is known", lambda: ebbtide.workload(NAME))
        change("memcg", "--workload", NAME, disabled=False, period_secs=5, period_psi_percent_limit=255)
        poll.until("its generations are aged", lambda: agings() >= 2, seconds=400)
        others = [one for one in ask("memcg", "status")["report"]["cgroups"] if one["path"] != f"/{NAME}"]
        assert not any(each["run_aging_count"] for one in others for each in one["nodes"])

        change("memcg", "--workload", NAME, disabled=True)
        poll.until("the agent is off", lambda: ebbtide.report()["agent"]["doing"] == "off")
        ebbtide.cli("memcg", "reset", "--workload", NAME)


def test_what_was_kept_survives_a_kill(daemon: ebbtide.Service) -> None:
    change("compact", "--persist", period_secs="2s", compact_force_times=0, disabled=False, **CALM)
    daemon.kill()
    daemon.start()

    poll.until("the new daemon compacts", lambda: compacted()["forced"] >= 1)
    got = ask("compact", "get")
    assert got["origins"]["period_secs"].startswith(f"{ebbtide.CLASSES / persisted.NAME}:")
    print((ebbtide.CLASSES / persisted.NAME).read_text(encoding="utf-8"), flush=True)


def test_the_group_looks_and_strangers_do_not() -> None:
    assert '"on": true' in as_user(GROUP, "memcg", "get", "-o", "json", ok=0)
    assert "transitions" not in as_user(GROUP, "events", ok=0)
    assert "only root changes things" in as_user(GROUP, "memcg", "set", '{"swap": true}', ok=77)
    assert "permission denied" in as_user("nogroup", "memcg", "get", ok=77)
    assert ebbtide.report()["agent"]["overrides"] == []
