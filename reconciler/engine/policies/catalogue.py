"""Which policies there are: a configuration in, its policy out."""

from reconciler.engine.forecasters.forecaster import Forecaster
from reconciler.engine.policies.age import Age
from reconciler.engine.policies.avoid_oom import AvoidOom
from reconciler.engine.policies.demote_idle import DemoteIdle
from reconciler.engine.policies.heat import Heat
from reconciler.engine.policies.policy import Policy
from reconciler.engine.policies.ratio import Ratio
from reconciler.engine.policies.stub import Stub
from reconciler.engineconfig import (
    AgeConfig,
    AvoidOomConfig,
    DemoteIdleConfig,
    HeatConfig,
    PolicyConfig,
    RatioConfig,
    StubConfig,
)


def make(config: PolicyConfig, forecaster: Forecaster | None = None, epoch_ns: int = 0) -> Policy:
    """`forecaster`: what the configuration asks for (forecasters.catalogue.of_policy); whoever made it closes it.

    `epoch_ns`: when the engine started, in nanoseconds since 1970.
    """
    match config:
        case AgeConfig():
            return Age(config)
        case RatioConfig():
            return Ratio(config)
        case DemoteIdleConfig():
            return DemoteIdle(config)
        case AvoidOomConfig():
            return AvoidOom(config)
        case HeatConfig():
            return Heat(config, forecaster, epoch_ns)
        case StubConfig():
            return Stub()
        case _:
            raise NotImplementedError(f"{type(config).__name__}: no policy acts on it")
