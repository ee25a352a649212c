"""A look at guest swap in words, for the status: pure."""

from collections.abc import Iterator

from reconciler.agent import swap_rules
from reconciler.agent.swap_rules import Make, Rest, Seen, State, Step
from reconciler.agentconfig import SwapConfig, SwapKind
from reconciler.quantities import human_bytes
from reconciler.report import SwapAreaReport, SwapReport


def report(
    config: SwapConfig | None,
    state: State,
    seen: Seen,
    step: Step,
    areas: tuple[SwapAreaReport, ...],
) -> SwapReport:
    """Without the folder and the counts, which are not part of a look."""
    return SwapReport(
        state=_state(config, state, step, areas),
        reason=step.reason if isinstance(step, Rest) else said(config, step),
        kind=config.kind.value if config else "",
        memory_bytes=seen.memory_bytes,
        target_bytes=swap_rules.target(config, seen.memory_bytes),
        size_bytes=sum(each.size_bytes for each in areas),
        used_bytes=sum(each.used_bytes for each in areas),
        areas=areas,
        other_bytes=seen.other_bytes,
        failures=state.failures,
        error=state.problem,
        notes=tuple(_notes(config, areas)),
    )


def said(config: SwapConfig | None, step: Step) -> str:
    match step:
        case Make(size_bytes=size):
            kind = "zram device" if config and config.kind is SwapKind.ZRAM else "swap file"
            return f"make a {kind} of {human_bytes(size)}"
        case Rest(reason=reason):
            return reason
        case _:
            return f"remove {step.name}"


def _state(config: SwapConfig | None, state: State, step: Step, areas: tuple[SwapAreaReport, ...]) -> str:
    if not isinstance(step, Rest):
        return "working"
    if state.problem:
        return "failing"
    if step.reason:
        return "waiting"
    return "steady" if config or areas else "off"


def _notes(config: SwapConfig | None, areas: tuple[SwapAreaReport, ...]) -> Iterator[str]:
    """What is configured for areas that are to be made, and is not so for those that there are."""
    for area in areas:
        if config and config.priority >= 0 and area.priority != config.priority:
            yield f"{area.path} has priority {area.priority}, not {config.priority}, until it is made again"
