"""Kdamonds that do nothing, and remember what they were told: test_kdamonds.py has the kernel's own side."""

from reconciler.engine.kdamonds import Wish
from reconciler.model import Identity
from sysfs.damon import Stats
from sysfs.damon_scheme import Abilities, Scheme, Spans
from sysfs.errors import KernelError


class FakePool:
    """Kdamonds with one place."""

    def __init__(self, can: Abilities | None = None) -> None:
        self.can = can or Abilities()
        self.schemes: tuple[Scheme, ...] = ()  # now
        self.actions: list[tuple[str, ...]] = []  # at each change
        self.pids: set[int] = set()
        self.stats = Stats()
        self.trouble: KernelError | None = None
        self.left = 0

    def join(self, wish: Wish) -> "FakePool":
        assert wish.name == "w"
        return self

    def serve(self, processes: dict[Identity, Spans], schemes: tuple[Scheme, ...]) -> None:
        self.pids = {pid for pid, *_ in processes}
        self._say(schemes)

    def act(self, schemes: tuple[Scheme, ...]) -> None:
        if self.pids:
            self._say(schemes)

    def _say(self, schemes: tuple[Scheme, ...]) -> None:
        self.schemes = schemes
        actions = tuple(scheme.action for scheme in schemes)
        if self.actions[-1:] != [actions]:
            self.actions.append(actions)

    def check(self) -> None:
        """It runs."""

    def done(self) -> Stats:
        if self.trouble is not None:
            raise self.trouble
        return self.stats

    def leave(self) -> None:
        self.left += 1

    def close(self) -> None:
        """Nothing is left to give back."""
