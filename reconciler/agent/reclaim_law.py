"""How much memory a workload can do without: the control law of a class's `reclaim:` (docs/agent-reclaim.md).

At each interval a little is taken, in steps that grow while nothing hurts. When it hurts, nothing is taken for a
while, and what has come back by then shows what the workload needs: that is its footprint. A margin above it is kept,
and after a longer while it is questioned again, in the smallest steps.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler import brakes
from reconciler.agent.reclaim_reach import Reach, Step, fitted, reach
from reconciler.agent.reclaim_signals import Signals, Terms
from reconciler.agentconfig import ReclaimConfig, Slo
from reconciler.quantities import human_bytes

MARGIN = 0.05  # kept above the footprint
NEAR = 2 * MARGIN  # around the footprint steps are small, and who gets below that had a wrong one
SMALL_STEPS = 4  # times the configured step, at most, near the footprint
SMALLEST = 128 << 10  # the kernel takes 32 pages at a time, whatever it is asked for
SMOOTHING = 10  # intervals over which stall is judged: one late page is no footprint, one percent of an interval is
STUCK_STEPS = 2 * SMOOTHING  # without less in use after them: as much comes back as is taken
REST_INTERVALS = 10  # after it hurt: time for what was taken too much to come back
HOLD_INTERVALS = 100  # before the footprint is questioned; twice as long each time it is found to be the same
LONGEST_HOLD_S = 3600.0
NOTHING_MORE = "the kernel finds nothing more to take"
CALM = 0.5  # of the target: steps grow below
MOST_DEBT = 4 << 20  # two huge pages: the kernel takes them as a whole
_JUMP, _JUMP_BYTES = 0.2, 32 << 20  # in one interval: another workload than before
_FRUITLESS = 3  # steps that brought next to nothing, before the kernel is left in peace
_WORST = float(SMOOTHING)  # of the target: enough to hurt at once, and forgotten by the end of a rest


class State(StrEnum):
    PROBING = "probing"  # takes a little at each interval
    HOLDING = "holding"  # keeps a margin above the footprint
    BACKING_OFF = "backing off"  # it hurt
    AT_FLOOR = "at floor"  # nothing more may leave, or can
    WAITING = "waiting"  # something is not known, or is in the way


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a controller remembers from one interval to the next."""

    step_percent: float = 0.0  # of the next step; 0 = as configured
    usage: int | None = None  # at the last decision, after its step
    smooth: float = 0.0  # how much it hurt lately, of the target
    high: int | None = None  # memory.high then
    limit: int | None = None  # the runtime's then
    left: int = 0  # in use when the last step was over
    back: int = 0  # has come back since
    stepped: bool = False  # something was taken since it last hurt
    learning: bool = False  # it hurt, and what comes back now belongs to the footprint
    footprint: int | None = None
    question_at: float = 0.0  # the footprint holds until then
    hold_s: float = 0.0
    rest_until: float = 0.0  # nothing is taken before
    why: str = ""  # it rests
    fruitless: int = 0
    debt: int = 0  # bytes that the kernel took beyond what it was asked for
    lowest: int = 0  # in use after any step of this descent; 0 = none yet
    stuck: int = 0  # steps since that became less


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now; after the step `stepped` says what it brought."""

    state: State
    reason: str
    memory: Memory
    floor: int = 0
    step: Step | None = None


def decide(config: ReclaimConfig, terms: Terms, memory: Memory, signals: Signals, now: float) -> Decision:
    memory, noticed = _noticed(terms, memory, signals)
    lowest = floor(config, terms, signals)
    found = _decide(config, terms, memory, signals, now)
    reason = f"{noticed}; {found.reason}" if noticed else found.reason
    return replace(found, floor=lowest, reason=reason)


def _decide(config: ReclaimConfig, terms: Terms, memory: Memory, signals: Signals, now: float) -> Decision:
    if why := _unknown(config, terms, signals):
        return Decision(state=State.WAITING, reason=why, memory=memory)
    hurt = _hurt(config, terms, signals)
    memory = replace(memory, smooth=memory.smooth + (min(hurt.ratio, _WORST) - memory.smooth) / SMOOTHING)
    if now < memory.rest_until:
        return _resting(memory, signals)
    if memory.smooth >= 1:
        return _backed_off(config, memory, signals, hurt.reason, now)
    memory = replace(memory, learning=False, why="")
    if hurt.ratio >= 1:
        return Decision(state=State.PROBING, reason=hurt.reason, memory=replace(memory, step_percent=0.0))
    return _probe(config, terms, memory, signals, now, max(hurt.ratio, memory.smooth))


def floor(config: ReclaimConfig, terms: Terms, signals: Signals) -> int:
    """Never less than this stays in use."""
    share = int((terms.memory_limit or 0) * config.floor_percent / 100)
    return max(config.floor_bytes, share, signals.protected)


def stepped(config: ReclaimConfig, memory: Memory, step: Step, usage: int, taken: int, now: float) -> Memory:
    """After a step that brought `taken` bytes and left `usage`."""
    fruitless = memory.fruitless + 1 if taken < step.size // 8 else 0
    after = replace(
        memory,
        usage=usage,
        left=usage,
        back=0,
        stepped=memory.stepped or taken > 0,
        fruitless=fruitless,
        debt=min(max(memory.debt + taken - step.size, 0), MOST_DEBT),
        footprint=_unless_wrong(memory.footprint, usage),
    )
    if fruitless >= _FRUITLESS:
        rest = now + REST_INTERVALS * config.interval_secs
        return replace(after, fruitless=0, step_percent=0.0, rest_until=rest, why=NOTHING_MORE)
    return _descended(config, after, usage, now)


def _unless_wrong(footprint: int | None, usage: int) -> int | None:
    """A footprint that was left far above without harm was none."""
    return None if footprint is not None and usage < footprint * (1 - NEAR) else footprint


def _descended(config: ReclaimConfig, memory: Memory, usage: int, now: float) -> Memory:
    """Where nothing hurts and nothing gets less, as much comes back as is taken: the footprint, found without harm."""
    if now < memory.question_at:
        return replace(memory, lowest=0, stuck=0)
    if not memory.lowest or usage < memory.lowest - max(SMALLEST, memory.lowest // 1000):
        return replace(memory, lowest=usage, stuck=0)
    if memory.stuck + 1 < STUCK_STEPS:
        return replace(memory, stuck=memory.stuck + 1)
    known = memory.footprint  # keeping the margin above it for long is no reason to call it larger
    footprint = min(known, usage) if known is not None and usage < known * (1 + NEAR) else usage
    hold = _hold(config, memory, footprint)
    return replace(memory, footprint=footprint, hold_s=hold, question_at=now + hold, lowest=0, stuck=0)


# -- what happened since the last decision -----------------------------------------------------------------------------


def _noticed(terms: Terms, memory: Memory, signals: Signals) -> tuple[Memory, str]:
    """Other writers, and a workload that does something else now: what was learned does not hold any more."""
    why = _changed(terms, memory, signals)
    kept = Memory(rest_until=memory.rest_until, why=memory.why) if why else memory
    back = kept.back + signals.refaulted
    return replace(kept, usage=signals.usage, high=signals.high, limit=terms.memory_limit, back=back), why


def _changed(terms: Terms, memory: Memory, signals: Signals) -> str:
    if memory.usage is None:
        return ""
    if signals.high != memory.high:
        return "begins again: memory.high was changed"
    if terms.memory_limit != memory.limit:
        return "begins again: the memory limit was changed"
    expected = memory.usage + signals.refaulted
    if abs(signals.usage - expected) > max(_JUMP_BYTES, _JUMP * expected):
        word = "grew" if signals.usage > expected else "shrank"
        return f"begins again: memory in use {word} by {human_bytes(abs(signals.usage - memory.usage))} at once"
    return ""


def _unknown(config: ReclaimConfig, terms: Terms, signals: Signals) -> str:
    if signals.seconds <= 0:
        return "has looked only once"
    if signals.no_psi and terms.psi_required:
        return f"pressure cannot be read, and psi: required: {signals.no_psi}"
    if config.slo is Slo.PROMOTION and signals.spare is None:
        return "nothing knows yet how often cold memory is used: it takes MGLRU or a tracker, and two looks"
    return ""


# -- whether it hurts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hurt:
    """The worst of several: 1 = the target is reached."""

    ratio: float
    reason: str


def _hurt(config: ReclaimConfig, terms: Terms, signals: Signals) -> _Hurt:
    if why := brakes.hurts(terms.brakes, signals.brake):
        return _Hurt(ratio=_WORST, reason=why)
    return max((_slo(config, signals), _io(config, signals)), key=lambda hurt: hurt.ratio)


def _io(config: ReclaimConfig, signals: Signals) -> _Hurt:
    said = f"tasks waited for io {signals.io_percent:.2f} % of the time (target {config.io_target_percent:g} %)"
    return _Hurt(ratio=_ratio(signals.io_percent, config.io_target_percent), reason=said)


def _slo(config: ReclaimConfig, signals: Signals) -> _Hurt:
    """Without PSI refaults are judged instead of pressure: blind, nothing is taken."""
    target = config.target_percent
    if config.slo is Slo.PRESSURE and not signals.no_psi:
        said = f"tasks waited for memory {signals.memory_percent:.2f} % of the time (target {target:g} %)"
        return _Hurt(ratio=_ratio(signals.memory_percent, target), reason=said)
    rate = 100 * signals.refaulted * 60 / signals.seconds / max(signals.working_set or signals.usage, 1)
    said = f"{rate:.2f} % of the working set came back a minute (target {target:g} %)"
    return _Hurt(ratio=_ratio(rate, target), reason=said)


def _ratio(found: float, target: float) -> float:
    return found / target if target > 0 else _WORST


def _resting(memory: Memory, signals: Signals) -> Decision:
    if memory.learning:
        memory = replace(memory, footprint=min(memory.left + memory.back, signals.usage))
    state = State.AT_FLOOR if memory.why == NOTHING_MORE else State.BACKING_OFF
    return Decision(state=state, reason=memory.why, memory=memory)


def _backed_off(config: ReclaimConfig, memory: Memory, signals: Signals, why: str, now: float) -> Decision:
    """It was us only if something that we took came back: other stall is no reason to remember a footprint."""
    rest = now + REST_INTERVALS * config.interval_secs
    after = replace(memory, step_percent=0.0, stepped=False, rest_until=rest, why=why, lowest=0, stuck=0)
    if memory.stepped and memory.back >= SMALLEST:
        footprint = min(memory.left + memory.back, signals.usage)
        hold = _hold(config, memory, footprint)
        after = replace(after, learning=True, footprint=footprint, hold_s=hold, question_at=rest + hold)
    return Decision(state=State.BACKING_OFF, reason=why, memory=after)


def _hold(config: ReclaimConfig, memory: Memory, footprint: int) -> float:
    """Twice as long where the footprint was as good as known."""
    first = HOLD_INTERVALS * config.interval_secs
    known = memory.footprint
    same = known is not None and abs(footprint - known) <= MARGIN * known
    return min(memory.hold_s * 2, max(LONGEST_HOLD_S, first)) if same else first


# -- taking a little ---------------------------------------------------------------------------------------------------


def _probe(config: ReclaimConfig, terms: Terms, memory: Memory, signals: Signals, now: float, hurt: float) -> Decision:
    bottom, state, why = _bottom(config, terms, memory, signals, now)
    room = signals.usage - bottom
    if room < SMALLEST:
        return Decision(state=state, reason=why, memory=replace(memory, step_percent=0.0))
    found = reach(config, terms, signals)
    if stopped := _stopped(config, memory, signals, found):
        return stopped
    wanted, after = _sized(config, memory, signals, now, hurt)
    if wanted - after.debt < SMALLEST:
        why = "waits, for the kernel has taken more than it was asked for"
        return Decision(state=State.PROBING, reason=why, memory=replace(after, debt=max(after.debt - wanted, 0)))
    step = fitted(signals, found, min(wanted - after.debt, room))
    if step.size < SMALLEST:
        return Decision(state=State.AT_FLOOR, reason=_nothing(found), memory=replace(memory, step_percent=0.0))
    near = state is State.HOLDING and room < MARGIN * bottom
    return Decision(
        state=state if near else State.PROBING, reason=_said(step, found), memory=replace(after, debt=0), step=step
    )


def _stopped(config: ReclaimConfig, memory: Memory, signals: Signals, found: Reach) -> Decision | None:
    if found.blocked:
        why = f"{found.why}, and this kernel cannot be told to take page cache only (swappiness= of memory.reclaim)"
        return Decision(state=State.WAITING, reason=why, memory=memory)
    if config.slo is Slo.PROMOTION and (signals.spare or 0) < SMALLEST:
        why = "all memory is younger than the age at which little enough is used again"
        return Decision(
            state=State.HOLDING, reason=why, memory=replace(memory, step_percent=0.0, footprint=signals.usage)
        )
    return None


def _said(step: Step, found: Reach) -> str:
    kind = "page cache" if step.swappiness == 0 or not found.anon else "memory"
    return f"takes {human_bytes(step.size)} of {kind}" + (f" ({found.why})" if found.why else "")


def _nothing(found: Reach) -> str:
    return f"nothing is left that can leave: {found.why}" if found.why else "nothing is left that can leave"


def _bottom(
    config: ReclaimConfig, terms: Terms, memory: Memory, signals: Signals, now: float
) -> tuple[int, State, str]:
    """Not below this now, and what it means to be there."""
    lowest = floor(config, terms, signals)
    line = int(memory.footprint * (1 + MARGIN)) if memory.footprint is not None and now < memory.question_at else 0
    if line > lowest:
        said = f"keeps {MARGIN * 100:g} % above the footprint of {human_bytes(memory.footprint or 0)}"
        return line, State.HOLDING, said
    return lowest, State.AT_FLOOR, f"not below the floor of {human_bytes(lowest)}"


def _sized(config: ReclaimConfig, memory: Memory, signals: Signals, now: float, hurt: float) -> tuple[int, Memory]:
    """TMO's step: the share that is left of the target. It doubles while calm; questioning a footprint it is small."""
    percent = min(max(memory.step_percent, config.step_percent), max(config.most_step_percent, config.step_percent))
    after = replace(memory, step_percent=percent * 2 if hurt < CALM else 0.0)
    size = int(signals.usage * percent / 100 * (1 - hurt))
    near = int((memory.footprint or 0) * (1 + NEAR)) if now >= memory.question_at else 0
    if signals.usage - size < near:
        most = SMALL_STEPS * config.step_percent
        small = int(signals.usage * min(percent, most) / 100 * (1 - hurt))
        size, after = max(small, signals.usage - near), replace(after, step_percent=min(after.step_percent, most))
    size = max(size, SMALLEST)
    return (min(size, signals.spare or 0) if config.slo is Slo.PROMOTION else size), after
