"""What a configuration says about itself."""

import pytest

from reconciler.engineconfig import AgeConfig, EngineConfig, ForecasterConfig, HeatConfig, PolicyConfig, TrackerConfig
from reconciler.model import EngineTask

MULTI = TrackerConfig(name="multi", trackers=(TrackerConfig(name="idlepage"), TrackerConfig(name="damon")))
CHAIN = ForecasterConfig(name="chain", forecasters=(ForecasterConfig(name="trace"), ForecasterConfig(name="stdio")))


@pytest.mark.parametrize(
    ("policy", "asked", "tracker", "waits"),
    [
        (AgeConfig(), TrackerConfig(), "idlepage", False),
        (AgeConfig(), TrackerConfig(), "damon", True),
        (AgeConfig(), MULTI, "multi", True),
        (AgeConfig(), MULTI, "idlepage", False),
        (HeatConfig(), TrackerConfig(), "idlepage", False),
        (HeatConfig(forecaster=ForecasterConfig(name="trace")), TrackerConfig(), "idlepage", False),
        (HeatConfig(forecaster=CHAIN), TrackerConfig(), "idlepage", True),
    ],
)
def test_whose_loop_waits_for_somebody_else(
    policy: PolicyConfig, asked: TrackerConfig, tracker: str, waits: bool
) -> None:
    task = EngineTask(workload="w", config=EngineConfig(policy=policy, tracker=asked), tracker=tracker)

    assert task.waits() is waits
