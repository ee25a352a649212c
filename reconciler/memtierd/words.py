"""memtierd's vocabulary, and ours beside it: every name and key, and our spellings with units."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A family of named parts: the policies, trackers, ..."""

    title: str
    names: tuple[str, ...]  # the first one is what a hint shows


POLICIES = Kind(title="policy", names=("age", "avoid-oom", "damos", "demote-idle", "heat", "ratio", "stub"))
TRACKERS = Kind(
    title="tracker",
    names=("auto", "damon", "finder", "idlepage", "mglru", "multi", "referenced", "softdirty", "stub"),
)
PIDWATCHERS = Kind(title="pidwatcher", names=("cgroups", "filter", "pidlist", "proc", "stub"))
FORECASTERS = Kind(title="forecaster", names=("chain", "stdio", "stub", "trace"))
ROUTINES = Kind(title="routine", names=("statactions", "stub"))

TOP_KEYS = ("policy", "routines")
NAMED_KEYS = ("name", "config")

# -- policies --------------------------------------------------------------------------------------------------------

COMMON_KEYS = ("intervalms", "pagetypes", "pidwatcher", "tracker", "mover")
DIRECT_KEYS = ("cgroups", "pids")  # in the policy itself, as memtierd's own examples have them and it refuses them
POLICY_KEYS: Mapping[str, tuple[str, ...]] = {
    "age": ("swapoutms", "idledurationms", "idlenumas", "activedurationms", "activenumas"),
    "heat": ("heatmap", "heatnumas", "numasize", "forecaster"),
    "ratio": ("ratio", "ratiotargets"),
    "demote-idle": ("idlenumas", "pagesofinterestdir"),
    "avoid-oom": ("startfreeingmemory", "stopfreeingmemory"),
    "damos": (
        *("action", "numas", "minsize", "maxsize", "minaccess", "maxaccess", "minagems"),
        *("quotasize", "quotatimems", "quotaintervalms", "goals", "young", "physical"),
    ),
    "stub": (),
}
HEATMAP_KEYS = ("heatmax", "heatretention", "heatclasses")
GOAL_KEYS = ("metric", "target", "numa", "path")
DAMOS_ACTIONS = ("pageout", "cold", "migrate_cold", "migrate_hot", "lru_prio", "lru_deprio", "willneed", "stat")
DAMOS_ADVICE = ("pageout", "cold", "willneed")  # madvise in processes, which looks at no filter
DAMOS_METRICS = (  # Documentation/admin-guide/mm/damon/usage.rst; user_input is missing, as nobody here would feed it
    *("some_mem_psi_us", "node_mem_used_bp", "node_mem_free_bp", "node_memcg_used_bp", "node_memcg_free_bp"),
    *("active_mem_bp", "inactive_mem_bp", "node_eligible_mem_bp"),
)
PAGE_TYPES = ("anon", "file")
MOVER_KEYS = ("intervalms", "bandwidth")

# -- trackers --------------------------------------------------------------------------------------------------------

TRACKER_KEYS = ("pagesinregion", "maxcountperregion", "scanintervalms", "regionsupdatems")
TRACKER_SPEED_KEYS = ("pagemapreadahead", "kpageflagsreadahead", "bitmapreadahead")
TRACKER_BROKEN_KEYS = ("skippageprob", "trackreferenced")
DAMON_INTERVAL_KEYS = ("samplingus", "aggregationus", "regionsupdateus")
DAMON_KEYS = (
    *(*DAMON_INTERVAL_KEYS, "mintargetregions", "maxtargetregions", "filteraddressrangesizemax"),
    *("connection", "interface", "sysfsregionsmanager", "kdamondslist", "nrkdamonds"),
)
DAMON_GRID_KEYS = ("pagesinregion", "maxcountperregion", "scanintervalms")  # ours: what snapshots are counted into
DAMON_SWITCHES = ("autotune", "pageexact", "pausedamonstat")  # ours, also under auto
FINDER_BITS = ("pagemapbitpresent", "pagemapbitexclusive", "pagemapbitsoftdirty")
FINDER_KEYS = ("pagesinregion", "scanintervalms", "regionsupdatems", "reportaccesses", *FINDER_BITS)

# -- watchers and forecasters ----------------------------------------------------------------------------------------

WATCHER_KEYS: Mapping[str, tuple[str, ...]] = {
    "cgroups": ("intervalms", "cgroups"),
    "filter": ("intervalms", "source", "filters"),
    "pidlist": ("intervalms", "pids"),
    "proc": ("intervalms",),
    "stub": ("intervalms",),
}
FILTER_SIZES = ("minvmsizekb", "minvmrsskb", "minprivatedirtykb")
FILTER_KEYS = ("procexeregexp", *FILTER_SIZES, "and", "or", "not")
FORECASTER_KEYS: Mapping[str, tuple[str, ...]] = {
    "chain": ("forecasters",),
    "stdio": ("command", "stderr", "retry", "deadlinems"),
    "stub": (),
    "trace": ("file", "hideheatzero"),
}

# -- routines --------------------------------------------------------------------------------------------------------

ROUTINE_KEYS = (
    *("intervalms", "intervalcommand", "intervalcommandrunner"),
    *("pageoutmb", "pageoutcommand", "pageoutcommandrunner", "timestamp", "timestampafter"),
)
RUNNERS = ("exec", "memtier", "memtier-prompt")
PROMPT_COMMANDS = (  # what a routine may say; "q" would end the daemon
    *("help", "nop", "pages", "arange", "mover", "tracker", "policy", "pidwatcher", "routines", "swap"),
    *("stats", "time", "log"),
)
TIMESTAMPS = (
    *("ansic", "unixdate", "rfc822", "rfc822z", "rfc850", "rfc1123", "rfc3339", "rfc3339nano"),
    *("unix", "unix.s", "unix.milli", "unix.micro", "unix.nano"),
    *("duration", "duration.s", "duration.milli", "duration.micro", "duration.nano"),
)

# Our spelling with units, beside memtierd's number of milliseconds, microseconds, pages, KiB, MiB or bytes.
NATIVE = {
    "intervalms": "interval",
    "swapoutms": "swapout",
    "idledurationms": "idleduration",
    "activedurationms": "activeduration",
    "minagems": "minage",
    "quotatimems": "quotatime",
    "quotaintervalms": "quotainterval",
    "scanintervalms": "scaninterval",
    "regionsupdatems": "regionsupdate",
    "pagesinregion": "regionsize",
    "samplingus": "sampling",
    "aggregationus": "aggregation",
    "regionsupdateus": "regionsupdate",
    "filteraddressrangesizemax": "rangesizemax",
    "minvmsizekb": "minvmsize",
    "minvmrsskb": "minvmrss",
    "minprivatedirtykb": "minprivatedirty",
    "deadlinems": "deadline",
    "pageoutmb": "pageout",
}


def with_native(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys and their spellings with units."""
    return (*keys, *(NATIVE[key] for key in keys if key in NATIVE))


def policy_keys(name: str) -> tuple[str, ...]:
    return with_native((*COMMON_KEYS, *POLICY_KEYS[name], *DIRECT_KEYS))
