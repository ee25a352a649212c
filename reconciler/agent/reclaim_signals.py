"""What the control law of `reclaim:` is told, and what it has to keep to."""

from dataclasses import dataclass, field

from reconciler import brakes
from reconciler.model import BrakeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the law has to keep to beside the class's own settings."""

    memory_limit: int | None = None  # the runtime's, bytes
    brakes: BrakeLimits = field(default_factory=BrakeLimits)
    psi_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What was read; bytes. `seconds` is the time since the last decision, 0 = this is the first."""

    seconds: float = 0.0
    usage: int = 0
    anon: int = 0  # swap-backed, on the lists that reclaim walks
    file: int = 0
    dirty: int = 0
    protected: int = 0  # memory.min or memory.low
    high: int | None = None  # memory.high
    no_psi: str = ""  # why pressure cannot be read
    memory_percent: float = 0.0  # of these seconds in which tasks waited
    io_percent: float = 0.0
    refaulted: int = 0  # in these seconds
    spare: int | None = None  # older than what is used again too often; None = nothing knows
    working_set: int = 0  # 0 = unknown, and what is in use counts for it
    brake: brakes.Signals = field(default_factory=brakes.Signals)
    wears: bool = False  # some swap is on a disk
    swapped_60: int = 0  # written to swap by the node in the last minute
    swapped_300: int = 0  # in the last five
    swappiness: int = 60  # the kernel's
    takes_swappiness: bool = True  # whether memory.reclaim can be told another one
