"""What holds for the memcg part from one change of its task to the next: profiles, what is left alone, whether it acts.

A pass asks at each step, so that a change reaches what is under way, and every cgroup that is known already.
"""

from functools import lru_cache

from reconciler import agentwanted
from reconciler.agent.memcg_rules import Profiles
from reconciler.agentconfig import AgentTask, Kept, MemcgConfig, MemcgProfile

_REMEMBERED = 1 << 14  # answers: cgroups come and go while nothing else changes


class Terms:
    def __init__(self, task: AgentTask, config: MemcgConfig, own: str) -> None:
        """`own`: our own cgroup, "" if unknown."""
        self.config, self.psi = config, task.psi
        self.acting = not (task.observe or config.dry_run)
        self._kept = task.kept + ((Kept(cgroup=own, reason="it is our own"),) if own.strip("/") else ())
        self._profiles = Profiles(config)
        self.periods = self._profiles.periods()
        self.profile = lru_cache(_REMEMBERED)(self._profile)
        self.left_alone = lru_cache(_REMEMBERED)(self._left_alone)

    def _left_alone(self, path: str) -> str:
        """Why nothing is done with it, or with what it is below; "" if there is no reason."""
        return next((each.reason or "kept" for each in self._kept if agentwanted.is_kept(path, (each,))), "")

    def _profile(self, path: str, node: int) -> MemcgProfile | None:
        """None if nothing is to be done."""
        found = self._profiles.of(path, node)
        return None if found.disabled or self.left_alone(path) else found
