"""Each key that a set call may name reaches what the agent is told next, for the node and for one cgroup."""

from dataclasses import asdict
from typing import Any

import pytest

from reconciler import agentkeys, agentreading, agentwanted
from reconciler.agentconfig import CompactConfig, MemcgConfig, Override
from reconciler.model import ClassTable

VALUES: dict[str, dict[str, tuple[object, object]]] = {  # as somebody writes it, as the agent gets it
    "memcg": {
        "disabled": (True, True),
        "swap": (True, True),
        "swappiness_max": (200, 200),
        "period_secs": ("5m", 300.0),
        "period_psi_percent_limit": (7, 7.0),
        "eviction_psi_percent_limit": ("0.5%", 0.5),
        "eviction_run_aging_count_min": (1, 1),
        "pass_bytes": ("1MiB", 1 << 20),
        "pass_secs": (1.5, 1.5),
        "dry_run": (True, True),
    },
    "compact": {
        "disabled": (True, True),
        "period_secs": (1, 1.0),
        "period_psi_percent_limit": (0, 0.0),
        "compact_psi_percent_limit": (99, 99.0),
        "compact_sec_max": ("30s", 30.0),
        "compact_order": (5, 5),
        "compact_threshold": (1, 1),
        "compact_force_times": (0, 0),
        "per_node": (True, True),
        "dry_run": (True, True),
    },
}
TABLE = ClassTable(memcg=MemcgConfig(), compact=CompactConfig())
CASES = [(section, key) for section, keys in VALUES.items() for key in keys]


def settled(section: str, key: str, cgroup: str = "") -> agentwanted.Settings:
    values, problems = agentreading.changes(section, {key: VALUES[section][key][0]}, cgroup=cgroup)
    assert problems == ()
    return agentwanted.settings(TABLE, (Override(section=section, values=values, cgroup=cgroup, origin="me"),))


@pytest.mark.parametrize(("section", "key"), CASES)
def test_of_the_node(section: str, key: str) -> None:
    found = settled(section, key)
    config: Any = found.memcg if section == "memcg" else found.compact
    values = {**asdict(config), **asdict(getattr(config, "profile", config))}

    assert values[key] == VALUES[section][key][1]
    assert values[key] != {**asdict(TABLE.memcg.profile), **asdict(TABLE.compact)}.get(key)  # type: ignore[union-attr,arg-type] # both are there
    assert found.origins[f"{section}.{key}"] == "me"


@pytest.mark.parametrize("key", agentkeys.PROFILE)
def test_of_one_cgroup(key: str) -> None:
    found = settled("memcg", key, "/a")
    assert found.memcg is not None
    (entry,) = agentwanted.holding(found.memcg, "/a/below")

    assert getattr(entry.profile, key) == VALUES["memcg"][key][1]
    assert found.memcg.profile == MemcgConfig().profile


def test_the_table_is_complete() -> None:
    assert {section: keys.keys() for section, keys in VALUES.items()} == {
        section: agentkeys.SECTIONS[section].keys() for section in VALUES
    }


@pytest.mark.parametrize("section", VALUES)
def test_an_empty_section_and_a_key_that_turns_nothing_on(section: str) -> None:
    """Where no file has the section, only `disabled: false` turns it on."""
    first = next(key for key in VALUES[section] if key != "disabled")
    values, _ = agentreading.changes(section, {first: VALUES[section][first][0]})
    off = agentwanted.settings(ClassTable(), (Override(section=section, values=values),))
    on = agentwanted.settings(ClassTable(), (Override(section=section, values={**values, "disabled": False}),))

    assert getattr(off, section) is None
    assert getattr(on, section) is not None
