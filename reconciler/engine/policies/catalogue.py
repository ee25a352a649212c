"""Which policies there are: a configuration in, its policy out."""

from reconciler.engine.policies.age import Age
from reconciler.engine.policies.avoid_oom import AvoidOom
from reconciler.engine.policies.demote_idle import DemoteIdle
from reconciler.engine.policies.policy import Policy
from reconciler.engine.policies.ratio import Ratio
from reconciler.engine.policies.stub import Stub
from reconciler.engineconfig import AgeConfig, AvoidOomConfig, DemoteIdleConfig, PolicyConfig, RatioConfig, StubConfig


def make(config: PolicyConfig) -> Policy:
    match config:
        case AgeConfig():
            return Age(config)
        case RatioConfig():
            return Ratio(config)
        case DemoteIdleConfig():
            return DemoteIdle(config)
        case AvoidOomConfig():
            return AvoidOom(config)
        case StubConfig():
            return Stub()
        case _:
            raise NotImplementedError(f"{type(config).__name__}: no policy acts on it")
