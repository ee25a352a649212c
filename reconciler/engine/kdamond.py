"""One kdamond and its users: whose memory it watches, what they learn from it, what it does for them.

All processes of all users are targets of its one context. Each that is looked at has a `stat` scheme of its own, which
only that target passes: a snapshot does not say otherwise whose region it shows. Not thread-safe: `Kdamonds` is.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from reconciler.engine import kdamond_targets
from reconciler.engine.kdamond_targets import PHYSICAL, Attributes
from reconciler.model import Identity
from sysfs import process
from sysfs.damon import Damon, Snapshot, Stats
from sysfs.damon_scheme import Abilities, Context, Filter, Scheme, Spans, Target, Tuning
from sysfs.damon_trace import Trace
from sysfs.errors import Busy, Gone, KernelError, Rejected
from sysfs.tree import Tree

_TRIES = 3  # to start or change it while processes exit
_FRESH_S = 1.0  # a snapshot that another user asked for so lately will do
_LONGEST_TUNED_US = 5_000_000  # aggregation interval that auto-tuning may find: a snapshot waits for one
_GROWTH = 2
_MOST_RESEEDED = 256  # regions that are given to a target that moves
_YOUNG = Filter(kind="young", matching=True, allow=True)


def instance(number: int) -> str:
    """The name of a kdamond's instance of tracefs."""
    return f"ebbtide-{number}"


@dataclass(slots=True, eq=False)
class User:
    """What one user wants of a kdamond, and what it has had."""

    name: str
    looks: bool = True
    processes: Mapping[Identity, Spans] = field(default_factory=dict)
    schemes: tuple[Scheme, ...] = ()
    looked: float = float("-inf")
    done: Stats = field(default_factory=Stats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One user's snapshots, by process."""

    snapshots: Mapping[Identity, Snapshot]
    watched_s: Mapping[Identity, float]  # how long DAMON has been looking without a break
    aggregation_us: int
    exact: bool  # whether `passed` counts accessed bytes
    traced: bool  # from tracefs
    acted: frozenset[Identity] = frozenset()  # whose regions' ages also begin anew when the kernel acts on them


class Kdamond:
    def __init__(
        self, tree: Tree, damon: Damon, number: int, attributes: Attributes, can: Abilities, clock: Callable[[], float]
    ) -> None:
        self.number, self.attributes, self.can = number, attributes, can
        self.users: list[User] = []
        self.changed = False  # somebody left, and the kernel does not know yet
        self._tree, self._damon, self._clock = tree, damon, clock
        self._slots: list[Identity] = []  # targets in the kernel's order
        self._since: dict[Identity, float] = {}
        self._learned: dict[Identity, Snapshot] = {}
        self._acting: list[tuple[User, int, Stats]] = []  # scheme's number, its figures when it was staged
        self._updated = float("-inf")
        self._tuned = (attributes.sample_us, attributes.aggregation_us)
        self._trace: Trace | None = None
        self._extent = 0  # bytes, when the kernel was told last

    @property
    def traced(self) -> bool:
        """Without snapshots, or without the filter that says whose they are, tracefs has to do."""
        return not (self.can.snapshots and self.can.target_filter)

    @property
    def exact(self) -> bool:
        return self.attributes.page_exact and self.can.virtual_young and self.attributes.operations != "paddr"

    def outgrown(self) -> bool:
        """Whether there is so much more memory now that regions would be too large to be believed."""
        return self._total(self._wanted()) > _GROWTH * self._extent

    def _wanted(self) -> dict[Identity, Spans]:
        return {key: spans for user in self.users for key, spans in user.processes.items() if spans}

    @staticmethod
    def _total(wanted: Mapping[Identity, Spans]) -> int:
        return sum(kdamond_targets.extent(spans) for spans in wanted.values())

    # -- start, change, stop -----------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Make the kernel do what the users want now."""
        wanted = self._wanted()
        self.changed = False
        self._account()
        for tries in range(_TRIES):
            if not wanted:
                self.stop()
                return
            trouble = self._attempt(wanted)
            if trouble is None:
                break
            before, wanted = wanted, {key: spans for key, spans in wanted.items() if self._lives(key)}
            if tries == _TRIES - 1 or len(wanted) == len(before):
                raise trouble
        self._updated, self._extent = float("-inf"), self._total(wanted)
        self._acting = [(user, scheme, self._damon.stats(self.number, scheme)) for user, scheme, _ in self._acting]
        self._follow_trace()

    def ended(self) -> bool:
        return bool(self._slots) and not self._damon.is_on(self.number)

    def stop(self) -> None:
        if self._trace is not None:
            self._trace.close()
            self._trace = None
        self._damon.off(self.number)
        self._slots, self._since, self._learned, self._acting = [], {}, {}, []
        self._tuned = (self.attributes.sample_us, self.attributes.aggregation_us)

    def _attempt(self, wanted: dict[Identity, Spans]) -> KernelError | None:
        running = bool(self._slots) and self._damon.is_on(self.number)
        before = self._slots if running else []
        targets, slots = self._targets(before, wanted)
        schemes, acting = self._schemes(slots)
        self._damon.stage(self.number, self._context(targets, schemes, wanted), self.can)
        try:
            self._start(running=running)
        except (Rejected, Gone) as error:
            if not self._damon.is_on(self.number):
                self._slots = []
            return error
        now = self._clock()
        stayed = {key for key in slots if key in before and (self.can.obsolete or key in _in_place(before, slots))}
        self._since = {key: self._since.get(key, now) if key in stayed else now for key in slots}
        self._slots = slots
        self._learned = {key: each for key, each in self._learned.items() if key in slots}
        self._acting = [(user, scheme, Stats()) for user, scheme in acting]
        return None

    def _start(self, *, running: bool) -> None:
        if not running:
            self._damon.on(self.number)
        elif not self._damon.commit(self.number):
            raise Rejected(None, "ended by a change of what it monitors", f"kdamond {self.number}")

    def _targets(self, before: list[Identity], wanted: dict[Identity, Spans]) -> tuple[list[Target], list[Identity]]:
        first = {key: kdamond_targets.pieces(spans, self.attributes) for key, spans in wanted.items()}
        if self.can.obsolete and before:
            return kdamond_targets.removed(before, first)
        slots = kdamond_targets.arrange(before, wanted)
        return kdamond_targets.moved(before, slots, first | self._seeds(wanted)), slots

    def _seeds(self, wanted: dict[Identity, Spans]) -> dict[Identity, Spans]:
        """First regions of a target that moves: what was learned of it."""
        learned = {key: each for key, each in self._learned.items() if key in wanted}
        return {
            key: tuple(zip(each.start.tolist(), each.end.tolist(), strict=True))
            for key, each in learned.items()
            if 0 < len(each) <= _MOST_RESEEDED
        }

    def _context(self, targets: list[Target], schemes: list[Scheme], wanted: dict[Identity, Spans]) -> Context:
        wishes = self.attributes
        most = wishes.max_regions * max(1, len(self.users))
        sample, aggregation = self._tuned
        longest = max(sample, wishes.sample_us * _LONGEST_TUNED_US // wishes.aggregation_us)
        tuning = Tuning(min_sample_us=min(5000, sample), max_sample_us=longest)
        return Context(
            operations=wishes.operations,
            sample_us=sample,
            aggregation_us=aggregation,
            update_us=wishes.update_us,
            min_regions=kdamond_targets.least_regions(wishes, self._total(wanted), most),
            max_regions=most,
            tuning=tuning if wishes.auto_tune and self.can.tuning else None,
            targets=tuple(targets),
            schemes=tuple(schemes),
        )

    def _schemes(self, slots: list[Identity]) -> tuple[list[Scheme], list[tuple[User, int]]]:
        """A `stat` scheme for each target, in their order, then what users want done to their own targets alone."""
        looks = not self.traced and any(user.looks for user in self.users)
        schemes = [self._stat(number) for number in range(len(slots))] if looks else []
        acting: list[tuple[User, int]] = []
        for user in self.users:
            others = [number for number, key in enumerate(slots) if key not in user.processes]
            not_theirs = tuple(Filter(kind="target", matching=True, target=number) for number in others)
            for scheme in user.schemes:
                acting.append((user, len(schemes)))
                schemes.append(replace(scheme, filters=(*not_theirs, *scheme.filters)))
        return schemes, acting

    def _stat(self, number: int) -> Scheme:
        own = Filter(kind="target", matching=False, target=number)
        return Scheme(filters=(own, _YOUNG) if self.exact else (own,))

    def _lives(self, key: Identity) -> bool:
        if key == PHYSICAL:
            return True
        with suppress(Gone):
            return process.identity(self._tree, key[0]) == key
        return False

    # -- what it knows -----------------------------------------------------------------------------------------------

    def look(self, user: User) -> Seen:
        """Snapshots of one user's processes; of those that DAMON cannot tell anything about there is none."""
        if self.changed:
            self.apply()
        found = self._read_trace() if self.traced else self._read_regions(user)
        self._learned |= found
        now = self._clock()
        user.looked = now
        return Seen(
            snapshots={key: each for key, each in found.items() if key in user.processes},
            watched_s={key: now - since for key, since in self._since.items()},
            aggregation_us=self._aggregation(),
            exact=self.exact,
            traced=self.traced,
            acted=frozenset(key for each in self.users if each.schemes for key in each.processes),
        )

    def _read_regions(self, user: User) -> dict[Identity, Snapshot]:
        if self._updated <= user.looked or self._clock() - self._updated > _FRESH_S:
            self._update()
        numbers = [number for number, key in enumerate(self._slots) if key in user.processes]
        return {self._slots[number]: self._damon.regions(self.number, number) for number in numbers}

    def _update(self) -> None:
        """It ends by itself when all its processes have exited: then it starts again with those that live."""
        if not self._slots:
            return
        try:
            self._damon.update(self.number)
        except (Rejected, Busy):
            if self._damon.is_on(self.number):
                raise
            self._slots = []
            self.apply()
            if self._slots:
                self._damon.update(self.number)
        self._updated = self._clock()

    def _read_trace(self) -> dict[Identity, Snapshot]:
        if self.ended():
            self.apply()
        batches = self._trace.read() if self._trace is not None else {}
        newest = {self._slots[number]: each for number, each in batches.items() if number < len(self._slots)}
        return self._learned | newest  # an aggregation interval may be longer than the time between two looks

    def _follow_trace(self) -> None:
        if self.traced and any(user.looks for user in self.users):
            if self._trace is not None:
                self._trace.close()
            most = self.attributes.max_regions * len(self.users)
            self._trace = Trace(self._tree, instance(self.number), self._damon.thread(self.number), most)

    def _aggregation(self) -> int:
        if self.attributes.auto_tune and self.can.tuning and self._slots:
            self._tuned = self._damon.tuned(self.number)
        return self._tuned[1]

    # -- what it does ------------------------------------------------------------------------------------------------

    def done(self, user: User) -> Stats:
        """What the user's schemes have done, over all changes."""
        self._account()
        return user.done

    def _account(self) -> None:
        """A scheme's figures stay with its number, whoever has that after the next change: so they are counted now."""
        if not self._acting or not self._damon.is_on(self.number):
            return
        counted = []
        for user, scheme, before in self._acting:
            after = self._damon.stats(self.number, scheme)
            user.done = _sum(user.done, after, before)
            counted.append((user, scheme, after))
        self._acting = counted


def _in_place(before: list[Identity], slots: list[Identity]) -> set[Identity]:
    return {one for one, other in zip(before, slots, strict=False) if one == other}


def _sum(total: Stats, after: Stats, before: Stats) -> Stats:
    return Stats(
        tried_regions=total.tried_regions + after.tried_regions - before.tried_regions,
        tried_bytes=total.tried_bytes + after.tried_bytes - before.tried_bytes,
        applied_regions=total.applied_regions + after.applied_regions - before.applied_regions,
        applied_bytes=total.applied_bytes + after.applied_bytes - before.applied_bytes,
        quota_exceeded=total.quota_exceeded + after.quota_exceeded - before.quota_exceeded,
    )
