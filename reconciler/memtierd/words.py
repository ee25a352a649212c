"""memtierd's vocabulary: every name it knows, whether this version of Ebbtide does it or not.

A word of memtierd's that is missing here is "not in this version", which is another message than "unknown".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A family of named parts: the policies, trackers, ..."""

    title: str
    supported: tuple[str, ...]
    later: Mapping[str, str] = field(default_factory=dict)  # known to memtierd -> what to do until then


POLICIES = Kind(
    title="policy",
    supported=("age",),
    later={
        "heat": "the age policy pages out by idle time: policy name age with swapoutms",
        "ratio": "the age policy pages out by idle time: policy name age with swapoutms",
        "demote-idle": "the age policy pages out by idle time: policy name age with swapoutms",
        "avoid-oom": "set memory.high or memory.low in the class's `memory:` instead",
        "stub": "to measure only, use the age policy without swapoutms",
    },
)
TRACKERS = Kind(
    title="tracker",
    supported=("auto", "idlepage", "softdirty", "referenced"),
    later={
        "damon": "tracker name auto takes the best one of this kernel",
        "multi": "tracker name auto takes the best one of this kernel",
        "finder": "tracker name auto takes the best one of this kernel",
        "stub": "tracker name auto takes the best one of this kernel",
    },
)
PIDWATCHERS = Kind(
    title="pidwatcher",
    supported=("cgroups", "pidlist"),
    later={
        "proc": "name whom to manage: pidwatcher cgroups, with a list of cgroup directories",
        "filter": "name whom to manage: pidwatcher cgroups, with a list of cgroup directories",
        "stub": "leave pidwatcher out: the workload's own cgroup is watched",
    },
)
ROUTINES = Kind(
    title="routine",
    supported=("statactions",),
    later={"stub": "leave it out"},
)

TOP_KEYS = ("policy", "routines")
NAMED_KEYS = ("name", "config")
AGE_KEYS = ("intervalms", "swapoutms", "pidwatcher", "tracker", "mover", "pagetypes")
AGE_NUMA_KEYS = ("idledurationms", "idlenumas", "activedurationms", "activenumas")
AGE_MOVED_KEYS = ("cgroups", "pids")  # where memtierd's own examples still have them, and memtierd refuses them
TRACKER_KEYS = ("pagesinregion", "maxcountperregion", "scanintervalms", "regionsupdatems")
TRACKER_SPEED_KEYS = ("pagemapreadahead", "kpageflagsreadahead", "bitmapreadahead")
TRACKER_BROKEN_KEYS = ("skippageprob", "trackreferenced")
MOVER_KEYS = ("intervalms", "bandwidth")
CGROUPS_KEYS = ("intervalms", "cgroups")
PIDLIST_KEYS = ("pids",)
ROUTINE_KEYS = ("intervalms", "intervalcommand", "intervalcommandrunner")
ROUTINE_PAGEOUT_KEYS = ("pageoutmb", "pageoutcommand", "pageoutcommandrunner")
ROUTINE_STAMP_KEYS = ("timestamp", "timestampafter")
RUNNERS = ("exec", "memtier", "memtier-prompt")
PAGE_TYPES = ("anon", "file")

# Our spelling with units, beside memtierd's number of milliseconds or pages.
NATIVE = {
    "intervalms": "interval",
    "swapoutms": "swapout",
    "scanintervalms": "scaninterval",
    "regionsupdatems": "regionsupdate",
    "pagesinregion": "regionsize",
    "idledurationms": "idleduration",
    "activedurationms": "activeduration",
}


def with_native(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys and their spellings with units."""
    return (*keys, *(NATIVE[key] for key in keys if key in NATIVE))
