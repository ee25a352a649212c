"""Who has which kdamond. They belong to the whole machine, so this takes nothing that it was not given.

* `nr_kdamonds` 0: we make as many as we may ever need, once, and put 0 back when nobody needs them any more.
* Kdamonds that somebody else made are his, unless a class names them (memtierd's `kdamondslist`): then those and no
  others are used, if they are off, and get their settings back.
* DAMON_STAT, which Debian's kernels start at boot, is stopped only if the class allows it, and started again.

What was before is on disk before the first write. Users with equal wishes share a kdamond. All calls may come from any
thread; one at a time reaches the kernel, which has one lock for everything and does not queue.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from reconciler import logfmt
from reconciler.engine.kdamond import Kdamond, Seen, User, instance
from reconciler.engine.kdamond_record import NOTHING, Borrowed, Loan, Record
from reconciler.engine.kdamond_targets import Attributes
from reconciler.model import Identity
from sysfs import damon_trace
from sysfs.damon import ADMIN, Damon, Stats
from sysfs.damon_probe import Ours
from sysfs.damon_scheme import Abilities, Scheme, Spans
from sysfs.errors import Busy, Gone, KernelError, Refused
from sysfs.tree import Tree

OWN = 8  # kdamonds that we make unless told otherwise: with equal wishes one serves all
_log = logging.getLogger("ebbtide.engine")


class Held(Refused):
    """DAMON belongs to somebody else; says to whom, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user asks for."""

    name: str  # of the workload, for people
    attributes: Attributes
    kdamonds: tuple[int, ...] = ()  # an administrator's; () = ours
    number: int = 0  # of kdamonds to make if there are none, 0 = OWN
    pause_stat: bool = False
    looks: bool = True  # wants snapshots


class Member:
    """One user's hold on a kdamond."""

    def __init__(self, pool: "Kdamonds", kdamond: Kdamond, user: User) -> None:
        self._pool, self._kdamond, self._user = pool, kdamond, user

    @property
    def can(self) -> Abilities:
        return self._kdamond.can

    def follow(self, processes: Mapping[Identity, Spans]) -> None:
        """Whose memory it is about from now on, and where each has some. The kernel hears only of other processes."""
        self.serve(processes, self._user.schemes)

    def act(self, schemes: tuple[Scheme, ...]) -> None:
        """What the kernel does with that memory from now on; () = nothing."""
        self.serve(self._user.processes, schemes)

    def serve(self, processes: Mapping[Identity, Spans], schemes: tuple[Scheme, ...]) -> None:
        """Both at once."""
        user, kdamond = self._user, self._kdamond
        same = user.processes.keys() == processes.keys() and user.schemes == schemes
        user.processes, user.schemes = dict(processes), schemes
        if not same or kdamond.changed or kdamond.outgrown():
            self._pool.apply(kdamond)

    def check(self) -> None:
        """Start again what has ended by itself: a kdamond does that when all of its processes have."""
        self._pool.check(self._kdamond)

    def look(self) -> Seen:
        """May wait for an aggregation interval."""
        return self._pool.look(self._kdamond, self._user)

    def done(self) -> Stats:
        return self._pool.done(self._kdamond, self._user)

    def leave(self) -> None:
        self._pool.leave(self._kdamond, self._user)


class Kdamonds:
    def __init__(
        self,
        tree: Tree,
        record: Record | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tree, self._clock = tree, clock
        self._damon, self._record = Damon(tree, sleep), record or Record(None)
        self._lock = threading.Lock()
        self._in_use: dict[int, Kdamond] = {}
        self._can: Abilities | None = None
        self._loan = self._record.load()

    # -- whole -------------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Give back what a process that was killed had taken; says in the log if that cannot be done now."""
        with self._turn():
            """The end of every turn does it: nobody is here yet."""

    def close(self) -> None:
        """Give everything back, whoever is still there."""
        with self._turn():
            for kdamond in self._in_use.values():
                kdamond.users.clear()

    @property
    def ours(self) -> Ours:
        """What is so because of us."""
        return self._loan.ours

    # -- users -------------------------------------------------------------------------------------------------------

    def join(self, wish: Wish) -> Member:
        """A place in a kdamond; `Held` says who is in the way and what to do."""
        with self._turn():
            if not self._in_use and self._loan != NOTHING:  # of a process that was killed
                self._give_back(self._loan)
            kdamond = self._shared(wish) or self._new(wish)
            user = User(name=wish.name, looks=wish.looks)
            kdamond.users.append(user)
            return Member(self, kdamond, user)

    def apply(self, kdamond: Kdamond) -> None:
        with self._turn(kdamond):
            try:
                kdamond.apply()
            except Busy as error:
                raise self._explained(error) from error

    def check(self, kdamond: Kdamond) -> None:
        with self._turn(kdamond):
            if kdamond.changed or kdamond.ended():
                kdamond.apply()

    def look(self, kdamond: Kdamond, user: User) -> Seen:
        with self._turn(kdamond):
            return kdamond.look(user)

    def done(self, kdamond: Kdamond, user: User) -> Stats:
        with self._turn(kdamond):
            return kdamond.done(user)

    def leave(self, kdamond: Kdamond, user: User) -> None:
        with self._turn():
            if user in kdamond.users:
                kdamond.users.remove(user)
                kdamond.changed = True

    @contextmanager
    def _turn(self, kdamond: Kdamond | None = None) -> Iterator[None]:
        """One at a time; whoever goes last tidies up. What was given back is not touched any more."""
        with self._lock:
            try:
                if kdamond is not None and self._in_use.get(kdamond.number) is not kdamond:
                    raise Held(f"kdamond {kdamond.number} was given back: DAMON is not used any more")
                yield
            finally:
                self._tidy()

    def _explained(self, error: Busy) -> KernelError:
        rivals = self._damon.exclusive()
        return Held(_rivals(rivals)) if rivals else error

    # -- places ------------------------------------------------------------------------------------------------------

    def _shared(self, wish: Wish) -> Kdamond | None:
        """One with equal wishes. Of an administrator's all are used before any is shared."""
        mine = [each for each in self._in_use.values() if self._may(wish, each.number)]
        fits = [each for each in mine if each.attributes == wish.attributes]
        if wish.kdamonds and len(mine) < len(set(wish.kdamonds)):
            return None
        return min(fits, key=lambda each: len(each.users), default=None)

    def _may(self, wish: Wish, number: int) -> bool:
        borrowed = {each.number for each in self._loan.borrowed}
        return number in wish.kdamonds if wish.kdamonds else number not in borrowed

    def _new(self, wish: Wish) -> Kdamond:
        self._alone(wish)
        count = self._ensure(wish)
        numbers = wish.kdamonds or tuple(reversed(range(count)))  # those that are named are often the lowest
        if unknown := [number for number in numbers if number >= count]:
            raise Held(f"kdamondslist names kdamond {unknown[0]}, but there are {count}: {ADMIN}")
        free = next((number for number in numbers if number not in self._in_use), None)
        if free is None:
            raise Held(_full(wish, [self._in_use[number] for number in numbers]))
        if not self._loan.made:
            self._borrow(free)
        can = self._abilities(free)
        if wish.attributes.operations not in can.operations:
            raise Held(_cannot(wish.attributes.operations, can))
        kdamond = self._in_use[free] = Kdamond(self._tree, self._damon, free, wish.attributes, can, self._clock)
        return kdamond

    def _abilities(self, number: int) -> Abilities:
        if self._can is None:
            self._can = self._damon.abilities(number)
        self._damon.clear(number)
        return self._can

    def _alone(self, wish: Wish) -> None:
        """Modules that want DAMON for themselves alone."""
        rivals = self._damon.exclusive()
        if rivals == ("damon_stat",) and wish.pause_stat:
            self._remember(replace(self._loan, paused_stat=True))
            self._damon.switch_stat("N")
        elif rivals:
            raise Held(_rivals(rivals))

    def _ensure(self, wish: Wish) -> int:
        """How many kdamonds there are; makes some only if there are none."""
        count = self._count()
        if self._loan.made:
            if not self._still_ours(self._loan):
                self._remember(replace(self._loan, made=0, inode=0))
                raise Held("somebody else has made our kdamonds anew (wrote nr_kdamonds): that ends all monitoring")
        elif not count:
            count = self._make(max(wish.number or OWN, max(wish.kdamonds, default=0) + 1))
        elif not wish.kdamonds:
            raise Held(_foreign(count))
        return count

    def _count(self) -> int:
        try:
            return self._damon.count()
        except Gone:
            raise Held("this kernel has no DAMON with a sysfs interface (CONFIG_DAMON_SYSFS)") from None

    def _make(self, count: int) -> int:
        self._remember(replace(self._loan, made=count, inode=0))
        self._damon.make(count)
        self._remember(replace(self._loan, inode=self._damon.inode(0)))
        return count

    def _borrow(self, number: int) -> None:
        if self._damon.is_on(number):
            raise Held(
                f"kdamond {number} of kdamondslist is on (thread {self._damon.thread(number)}): whoever started it "
                f"uses it; end that (echo off > {ADMIN}/{number}/state) or name another"
            )
        loan = Borrowed(number=number, inode=self._damon.inode(number), settings=self._damon.settings(number))
        self._remember(replace(self._loan, borrowed=(*self._loan.borrowed, loan)))

    # -- giving back -------------------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """What nobody uses goes back; if the kernel does not let us now, the record stays, and the next turn tries."""
        try:
            for number in [number for number, each in self._in_use.items() if not each.users]:
                self._in_use[number].stop()
                del self._in_use[number]
            if not self._in_use and self._loan != NOTHING:
                self._give_back(self._loan)
        except OSError as error:
            line = logfmt.line("event=damon-not-given-back", reason=str(error))
            _log.warning("%s", line)

    def _give_back(self, loan: Loan) -> None:
        for each in loan.borrowed:
            if each.number < self._damon.count() and self._damon.inode(each.number) == each.inode:
                self._silence(each.number)
                self._damon.restore(each.number, each.settings)
        if loan.made and self._still_ours(loan):
            for number in range(loan.made):
                self._silence(number)
            self._damon.make(0)
        if loan.paused_stat and not self._damon.exclusive():
            self._damon.switch_stat("Y")
        self._remember(NOTHING)

    def _silence(self, number: int) -> None:
        self._damon.off(number)
        with suppress(KernelError):
            damon_trace.remove(self._tree, instance(number))

    def _still_ours(self, loan: Loan) -> bool:
        """By the directory's inode; if we were killed between making and noting it, nothing has been set in them."""
        if self._damon.count() != loan.made:
            return False
        if loan.inode:
            return self._damon.inode(0) == loan.inode
        return not any(self._damon.contexts(number) for number in range(loan.made))

    def _remember(self, loan: Loan) -> None:
        self._record.save(loan)
        self._loan = loan


def _foreign(count: int) -> str:
    there = "1 kdamond is" if count == 1 else f"{count} kdamonds are"
    return (
        f"DAMON belongs to somebody else: {there} in {ADMIN}, made by nobody we know. Name them in the tracker's "
        f"kdamondslist if they are meant for Ebbtide, have their owner write 0 to nr_kdamonds, or take another tracker"
    )


def _cannot(operations: str, can: Abilities) -> str:
    whom = "physical memory (CONFIG_DAMON_PADDR)" if operations == "paddr" else "processes (CONFIG_DAMON_VADDR)"
    return f"this kernel's DAMON cannot watch {whom}: it offers {', '.join(can.operations)}"


def _rivals(rivals: tuple[str, ...]) -> str:
    names = ", ".join(rivals)
    if rivals == ("damon_stat",):
        return (
            "DAMON_STAT runs and wants DAMON for itself alone: let Ebbtide pause it (pausedamonstat: true in the "
            "tracker's config), or end it (echo N > /sys/module/damon_stat/parameters/enabled)"
        )
    return (
        f"{names} runs and wants DAMON for itself alone: take another tracker, or end it "
        f"(echo N > /sys/module/{rivals[-1]}/parameters/enabled)"
    )


def _full(wish: Wish, taken: list[Kdamond]) -> str:
    names = sorted({user.name for each in taken for user in each.users})
    which = f"kdamonds {', '.join(map(str, wish.kdamonds))}" if wish.kdamonds else f"all {len(taken)} kdamonds"
    return (
        f"{which} monitor with other intervals or regions for {', '.join(names)}: give the classes the same tracker "
        f"config, or more kdamonds"
    )
