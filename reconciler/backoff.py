"""When to try again: plain data. Rejected waits for new input, Gone is forgotten, the rest waits 1 s .. 5 min."""

from collections.abc import Iterable, Mapping

from reconciler.actions import Action, Outcome, RestoreKnob, Result, Retry, StartEngine, WriteKnob
from reconciler.model import EngineTask

ENGINE = "engine"  # in a key: the tracking loop, where others name a knob
FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0

Key = tuple[str, str]


def key(action: Action) -> Key:
    """(workload, what): what a failure of this action holds back."""
    return action.workload, str(getattr(action, "knob", ENGINE))


def advance(retries: Mapping[Key, Retry], outcomes: Iterable[Outcome], now: float, jitter: float) -> dict[Key, Retry]:
    """The retries after these outcomes. `jitter` 0..1 spreads nodes and workloads over half of each delay.

    A loop that could be started has not succeeded yet: its retry is dropped when it has lived for a while.
    """
    result = {where: retry for where, retry in retries.items() if not _outlived(where, retry, now)}
    for outcome in outcomes:
        where = key(outcome.action)
        if outcome.result is Result.DONE and isinstance(outcome.action, StartEngine):
            continue
        if outcome.result in (Result.DONE, Result.GONE):
            result.pop(where, None)
        elif outcome.result is not Result.SKIPPED:
            result[where] = _failed(result.get(where), outcome, now, jitter)
    return result


def next_deadline(retries: Mapping[Key, Retry]) -> float | None:
    """The earliest moment at which something may be tried again."""
    return min((retry.not_before for retry in retries.values() if not retry.rejected), default=None)


def died(retries: Mapping[Key, Retry], task: EngineTask, message: str, now: float, jitter: float) -> dict[Key, Retry]:
    """The retries after a loop has ended by itself."""
    outcome = Outcome(action=StartEngine(workload=task.workload, task=task), result=Result.BUSY, message=message)
    return advance(retries, [outcome], now, jitter)


def _outlived(where: Key, retry: Retry, now: float) -> bool:
    return where[1] == ENGINE and not retry.rejected and now > retry.not_before + LONGEST_SECONDS


def _failed(before: Retry | None, outcome: Outcome, now: float, jitter: float) -> Retry:
    attempts = (before.attempts if before else 0) + 1
    delay = min(FIRST_SECONDS * 2.0 ** min(attempts - 1, 20), LONGEST_SECONDS)
    rejected = _value(outcome.action) if outcome.result in (Result.REJECTED, Result.UNSUPPORTED) else ""
    return Retry(
        attempts=attempts,
        not_before=now + delay * (1 - jitter / 2),
        reason=f"{outcome.result}: {outcome.message}",
        rejected=rejected,
    )


def _value(action: Action) -> str:
    """What would have to change before trying again makes sense."""
    if isinstance(action, WriteKnob):
        return action.value
    if isinstance(action, RestoreKnob):
        return action.original
    return str(action.task) if isinstance(action, StartEngine) else ""
