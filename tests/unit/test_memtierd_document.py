"""docs/memtierd.md tells the truth about who can serve whom, and leaves no key out."""

import re
from pathlib import Path

import pytest

from reconciler import tracking
from reconciler.engineconfig import (
    AgeConfig,
    AvoidOomConfig,
    DamosConfig,
    DemoteIdleConfig,
    EngineConfig,
    HeatConfig,
    PolicyConfig,
    RatioConfig,
    StubConfig,
    TrackerConfig,
)
from reconciler.memtierd import words

TEXT = (Path(__file__).parents[2] / "docs/memtierd.md").read_text()
MOVING: dict[str, PolicyConfig] = {
    "age": AgeConfig(swapout_ms=1),
    "heat": HeatConfig(nodes=((0, (2,)),)),
    "ratio": RatioConfig(ratio=0.5),
    "demote-idle": DemoteIdleConfig(idle_nodes=(2,)),
    "avoid-oom": AvoidOomConfig(),
    "damos": DamosConfig(),
    "stub": StubConfig(),
}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("| policy | auto |")[2].partition("\n\n")[0].splitlines()[2:]
]


def fits(policy: PolicyConfig, tracker: str) -> bool:
    return not tracking.unfit(EngineConfig(policy=policy, tracker=TrackerConfig(name=tracker)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_table_of_policies_and_trackers(row: list[str]) -> None:
    header = re.findall(r"\w+", TEXT.partition("| policy | auto |")[2].partition("\n")[0])
    name, *cells = row

    for tracker, cell in zip(["auto", *header], cells, strict=True):
        measuring = name == "age" and fits(AgeConfig(), tracker)
        wanted = "yes" if fits(MOVING[name], tracker) else "yes*" if measuring else "no"
        assert cell == wanted, (name, tracker)


def test_the_table_has_every_policy_and_tracker() -> None:
    assert {row[0] for row in ROWS} == set(words.POLICIES.names)
    assert all(len(row) == len(words.TRACKERS.names) + 1 for row in ROWS)


def test_every_key_of_ours_is_explained() -> None:
    keys = (*words.with_native(words.POLICY_KEYS["damos"]), *words.GOAL_KEYS, *words.DAMON_SWITCHES)

    assert [key for key in keys if f"`{key}`" not in TEXT] == []
