"""One pass of the memcg part: whoever is due and calm is aged once, and then gives of its oldest generation.

Evictions go in rounds: one look at all cgroups, then one command for each that goes on. So however many there are, what
the kernel prints is read once a round. Everything is asked again before each command: pressure, limits, whether the
configuration still wants it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from reconciler.agent import memcg_rules as rules
from reconciler.agent.memcg_known import Ground, Known, Regret
from reconciler.agent.memcg_rules import Oldest, Progress, Reason
from reconciler.agent.memcg_sources import Source
from reconciler.agent.memcg_terms import Terms
from reconciler.agent.pressure import Meter, judge
from reconciler.agentconfig import MemcgProfile
from sysfs import cgroup, swap
from sysfs.errors import KernelError
from sysfs.mglru import Lruvec

_REFAULT_LOOKS_S = 1.0  # memory.stat makes the kernel add up its counters: not too often
_WORDS = {
    Reason.NONE: "nothing is left of the oldest generation, or there are fewer than four",
    Reason.NO_MIN_LRU: "the oldest generation has nothing that may be taken",
    Reason.MIN_LRU_INC: "the last command took nothing",
    Reason.PASS_BYTES: "the limit of one pass is reached",
    Reason.PASS_SECS: "the pass has taken its time, and the next one begins here",
    Reason.CHANGED: "the configuration has changed, or we are ending",
}


@dataclass(slots=True, kw_only=True)
class Eviction:
    """Of one cgroup on one node, under way."""

    known: Known
    meter: Meter  # its first reading is the beginning
    room: bool  # for its anonymous memory, by the limits of the cgroup
    pages: int  # in all generations before it
    refaulted: int  # bytes, until then
    looked_at: float = 0.0
    progress: Progress = field(default_factory=Progress)


class Pass:
    def __init__(self, ground: Ground, source: Source, terms: Callable[[], Terms | None], youngest_secs: float) -> None:
        """`terms`: what holds now, None when everything is to end."""
        self._ground, self._source, self._terms, self._youngest_secs = ground, source, terms, youngest_secs
        self._begun = ground.clock()
        self.cut = False  # by pass_secs
        self.agings = self.taken_bytes = self.would_take_bytes = 0
        self.unread = ""  # why pressure could not be judged

    def run(self, due: frozenset[float], known: Iterable[Known]) -> None:
        """All of `known` whose period is among `due`."""
        chosen = [each for each in known if self._is_due(each, due)]
        chosen.sort(key=lambda each: each.served)
        calm = [each for each in chosen if self._is_calm(each)]
        ripe = [each for each in calm if self._aged(each)]
        begun = [eviction for each in ripe if (eviction := self._begin(each))]
        while begun:
            begun = self._round(begun)

    def _is_due(self, known: Known, due: frozenset[float]) -> bool:
        profile = self._profile(known)
        return profile is not None and rules.period(profile) in due

    def _profile(self, known: Known) -> MemcgProfile | None:
        terms = self._terms()
        return terms.profile(*known.key) if terms else None

    def _late(self, share: float) -> bool:
        """Whether this part of the time for one pass is over; aging gets half, or it could leave none for the rest."""
        terms = self._terms()
        limit = terms.config.pass_secs if terms else 0.0
        return limit > 0 and self._ground.clock() >= self._begun + limit * share

    def _served(self, known: Known) -> None:
        known.served, known.new = self._ground.clock(), False

    # -- pressure of the period, and aging -----------------------------------------------------------------------------

    def _is_calm(self, known: Known) -> bool:
        terms, profile = self._terms(), self._profile(known)
        if terms is None or profile is None:
            return False
        verdict = judge(known.meter, terms.psi, profile.period_psi_percent_limit)
        if verdict.stop:
            known.sleep_psi_exceeds_limit += 1
            known.reason = f"left out: {verdict.reason}"
            self._served(known)
        elif verdict.reason:
            self.unread = verdict.reason
        return not verdict.stop

    def _aged(self, known: Known) -> bool:
        """Whether it was, and has been often enough for an eviction."""
        terms, profile = self._terms(), self._profile(known)
        if terms is None or profile is None:
            return False
        if self._late(0.5):
            self.cut = True
            known.reason = "not aged: pass_secs was over before its turn, and the next pass begins with it"
            return False
        first = known.new
        self._served(known)
        if rules.too_young(known.youngest_ms(self._ground.clock()), self._youngest_secs):
            known.reason = f"not aged: its youngest generation is younger than {self._youngest_secs:g} s"
            return False
        return self._age(known, profile, writes=terms.acting) and self._ripe(known, profile, first=first)

    def _age(self, known: Known, profile: MemcgProfile, *, writes: bool) -> bool:
        try:
            if writes or not self._source.aging_writes:
                self._source.age(known.lruvec, swap=profile.swap)
        except KernelError as error:
            known.ended(Reason.ERROR, f"not aged: {error}")
            return False
        known.run_aging_count += 1
        self.agings += 1
        return True

    def _ripe(self, known: Known, profile: MemcgProfile, *, first: bool) -> bool:
        """In its first pass nothing is known of a cgroup's pressure: it is only aged."""
        least = profile.eviction_run_aging_count_min
        known.reason = f"aged {known.run_aging_count} times, evicted from {least} on"
        return known.run_aging_count >= least and not first

    # -- eviction ------------------------------------------------------------------------------------------------------

    def _begin(self, known: Known) -> Eviction | None:
        terms, profile = self._terms(), self._profile(known)
        if terms is None or profile is None:
            return None
        directory = self._ground.directory(known.lruvec.path)
        refaulted = self._refaulted(directory)
        regret, known.regret = known.regret, None
        if regret:
            back = refaulted - regret.refaulted_bytes
            if why := rules.returned(regret.taken_bytes, back, rules.REGRETTED_PERCENT):
                known.ended(Reason.REFAULT, f"nothing is taken this time, {why}")
                return None
        meter = Meter(self._ground.tree, self._ground.clock, directory, own=True)
        judge(meter, terms.psi, profile.eviction_psi_percent_limit)
        room = profile.swap and self._room(directory)
        return Eviction(known=known, meter=meter, room=room, pages=known.lruvec.pages, refaulted=refaulted)

    def _round(self, evictions: list[Eviction]) -> list[Eviction]:
        """Those that go on."""
        try:
            found = self._source.survey({each.known.lruvec.path for each in evictions})
            space = swap.read(self._ground.tree).free_bytes > rules.SWAP_SPARE * self._ground.page_size
        except KernelError as error:
            for each in evictions:
                self._end(each, Reason.ERROR, str(error))
            return []
        seen = {(each.path, each.node, each.memcg): each for each in found}
        return [
            each
            for each in evictions
            if self._goes_on(each, seen.get((*each.known.key, each.known.lruvec.memcg)), space)
        ]

    def _goes_on(self, eviction: Eviction, seen: Lruvec | None, space: bool) -> bool:  # noqa: FBT001  no second meaning
        terms, profile = self._terms(), self._profile(eviction.known)
        if terms is None or profile is None:
            return self._end(eviction, Reason.CHANGED)
        if seen is None:
            return self._end(eviction, Reason.ERROR, "the cgroup is gone")
        if eviction.progress.last is None:
            eviction.pages = seen.pages
        eviction.known.saw(seen, self._ground.clock())
        allowed = profile.swap and space and eviction.room
        eviction.progress, reason = rules.look(eviction.progress, _oldest(seen), swap=allowed)
        if reason:
            return self._end(eviction, reason)
        if not terms.acting:
            return self._would(eviction, terms.config.pass_bytes, swap=allowed)
        return not self._stopped(eviction, terms, profile) and self._command(eviction, terms, profile, swap=allowed)

    def _stopped(self, eviction: Eviction, terms: Terms, profile: MemcgProfile) -> bool:
        """By pressure, by what came back, or by a limit; the first command is only held by time."""
        if eviction.progress.commands:
            verdict = judge(eviction.meter, terms.psi, profile.eviction_psi_percent_limit)
            if verdict.stop:
                return not self._end(eviction, Reason.PSI, verdict.reason)
            if why := self._came_back(eviction):
                return not self._end(eviction, Reason.REFAULT, why)
        if self._late(1.0):
            self.cut = True
            eviction.known.served = 0.0
            return not self._end(eviction, Reason.PASS_SECS)
        most = terms.config.pass_bytes
        if most and eviction.progress.pages * self._ground.page_size >= most:
            return not self._end(eviction, Reason.PASS_BYTES)
        return False

    def _came_back(self, eviction: Eviction) -> str:
        now = self._ground.clock()
        if now - eviction.looked_at < _REFAULT_LOOKS_S:
            return ""
        eviction.looked_at = now
        back = self._refaulted(self._ground.directory(eviction.known.lruvec.path)) - eviction.refaulted
        return rules.returned(eviction.progress.pages * self._ground.page_size, back, rules.RETURNED_PERCENT)

    def _command(self, eviction: Eviction, terms: Terms, profile: MemcgProfile, *, swap: bool) -> bool:
        progress = eviction.progress
        swappiness = rules.swappiness(progress, profile.swappiness_max, swap=swap)
        pages = rules.amount(progress, swappiness, self._ground.page_size, terms.config.pass_bytes)
        try:
            self._source.evict(eviction.known.lruvec, swappiness, pages)
        except KernelError as error:
            return self._end(eviction, Reason.ERROR, str(error))
        eviction.progress = replace(progress, commands=progress.commands + 1)
        return True

    def _would(self, eviction: Eviction, most_bytes: int, *, swap: bool) -> bool:
        size = rules.takable(eviction.progress, swap=swap) * self._ground.page_size
        size = min(size, most_bytes) if most_bytes else size
        eviction.known.would_bytes += size
        self.would_take_bytes += size
        return self._end(eviction, Reason.OBSERVED, f"{size} bytes would be taken")

    def _end(self, eviction: Eviction, reason: Reason, words: str = "") -> bool:
        """Always False: it does not go on."""
        known, progress = eviction.known, eviction.progress
        known.ended(reason, words or _WORDS[reason], progress.pages)
        if progress.commands:
            taken = max(min(eviction.pages - known.lruvec.pages, progress.pages), 0) * self._ground.page_size
            known.bytes += taken
            self.taken_bytes += taken
            known.regret = Regret(
                taken_bytes=progress.pages * self._ground.page_size,
                refaulted_bytes=self._refaulted(self._ground.directory(known.lruvec.path)),
            )
        return False

    # -- what cgroups tell ---------------------------------------------------------------------------------------------

    def _refaulted(self, directory: str) -> int:
        """Bytes that left the cgroup and were needed again; those of the cgroups below it are taken off."""
        names = cgroup.children(self._ground.tree, directory)
        below = sum(self._refaults(f"{directory}/{name}") for name in names)
        return max(self._refaults(directory) - below, 0) * self._ground.page_size

    def _refaults(self, directory: str) -> int:
        try:
            stat = cgroup.stat(self._ground.tree, directory)
        except KernelError:  # gone, or without the memory controller
            return 0
        return stat.get("workingset_refault_anon", 0) + stat.get("workingset_refault_file", 0)

    def _room(self, directory: str) -> bool:
        """In swap, by memory.swap.max of the cgroup and those above."""
        limit = cgroup.limits(self._ground.tree, directory).swap_bytes
        used = cgroup.swap_bytes(self._ground.tree, directory)
        return limit is None or limit - used > rules.SWAP_SPARE * self._ground.page_size


def _oldest(lruvec: Lruvec) -> Oldest:
    oldest = lruvec.oldest
    return Oldest(number=oldest.number, youngest=lruvec.youngest, anon=oldest.anon_pages, file=oldest.file_pages)
