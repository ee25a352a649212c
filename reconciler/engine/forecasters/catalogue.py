"""Which forecasters there are: a configuration in, its forecaster out."""

from reconciler.engine.forecasters.chain import Chain
from reconciler.engine.forecasters.forecaster import Forecaster, Means
from reconciler.engine.forecasters.stdio import Stdio
from reconciler.engine.forecasters.stub import Stub
from reconciler.engine.forecasters.trace import Trace
from reconciler.engineconfig import ForecasterConfig, HeatConfig, PolicyConfig


def make(config: ForecasterConfig, means: Means) -> Forecaster:
    match config.name:
        case "chain":
            return Chain([make(each, means) for each in config.forecasters])
        case "stdio":
            return Stdio(config, means)
        case "trace":
            return Trace(config, means)
        case "stub":
            return Stub()
        case _:
            raise NotImplementedError(f"{config.name}: no forecaster is called so")


def of_policy(policy: PolicyConfig, means: Means) -> Forecaster | None:
    """What a policy's configuration asks for."""
    match policy:
        case HeatConfig(forecaster=ForecasterConfig() as config):
            return make(config, means)
        case _:
            return None
