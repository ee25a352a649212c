"""The trackers' settings.

DAMON's own defaults are memtierd's documented ones for whoever sets an interval; who sets none gets intervals that were
measured to find more with a quarter of the CPU time (engineconfig.MEASURED).
"""

from dataclasses import replace

from reconciler import checking, quantities
from reconciler.engineconfig import MEASURED, DamonConfig, DemoteIdleConfig, FinderConfig, PolicyConfig, TrackerConfig
from reconciler.memtierd import words
from reconciler.memtierd.parts import Part
from reconciler.model import Severity

_LARGEST_REGION = 2**30  # bytes: a page-out looks at each page of a region
_FEW_PAGES = 16
_REGION_BYTES = 40  # reconciler/engine/regions.py
_LEAST_REGIONS = 3  # of DAMON: less is refused by the kernel
_FINDER_UPDATE_MS = 5000


def of_policy(name: str, part: Part, policy: PolicyConfig) -> TrackerConfig:
    if not part.has("tracker"):
        return _usual(name, policy)
    found = part.named("tracker", words.TRACKERS)
    if found is None:
        return TrackerConfig()
    tracker = read(*found)
    if isinstance(policy, DemoteIdleConfig) and not found[1].gives("scanintervalms"):
        return replace(tracker, scan_interval_ms=policy.interval_ms)
    return tracker


def _usual(name: str, policy: PolicyConfig) -> TrackerConfig:
    """What a policy gets that names no tracker."""
    match name:
        case "avoid-oom" | "stub":
            return TrackerConfig(name="stub")
        case "damos":
            return TrackerConfig(name="damon")
        case "demote-idle":  # the marks of one interval are looked at in the next
            assert isinstance(policy, DemoteIdleConfig)
            return TrackerConfig(name="idlepage", scan_interval_ms=policy.interval_ms)
        case _:
            return TrackerConfig()


def read(name: str, part: Part) -> TrackerConfig:
    match name:
        case "damon":
            return _damon(part)
        case "finder":
            return _finder(part)
        case "multi":
            return _multi(part)
        case "stub":
            part.check_keys(())
            return TrackerConfig(name=name)
        case _:
            return _scanning(name, part)


def _scanning(name: str, part: Part) -> TrackerConfig:
    """Idlepage and softdirty, and ours that look at memory in the same way."""
    silent = words.TRACKER_SPEED_KEYS  # buffer sizes of memtierd's reader: ours reads in bulk
    broken = dict.fromkeys(words.TRACKER_BROKEN_KEYS, "it does not work in memtierd, and is not needed here")
    off = {key for key in broken if part.values.get(key) in (0, False)}
    switches = words.DAMON_SWITCHES if name == "auto" else ()
    known = (*words.with_native(words.TRACKER_KEYS), *silent, *switches, *off)
    part.check_keys(known, {key: why for key, why in broken.items() if key not in off})
    return TrackerConfig(
        name=name,
        pages_in_region=_pages_in_region(part),
        max_count_per_region=part.whole("maxcountperregion", 1),
        scan_interval_ms=part.duration_ms("scanintervalms", 5000, least=1),
        regions_update_ms=part.duration_ms("regionsupdatems", 10000),
        damon=_switched(part, MEASURED) if switches else MEASURED,
    )


# -- damon -----------------------------------------------------------------------------------------------------------


def _damon(part: Part) -> TrackerConfig:
    known = words.with_native((*words.DAMON_KEYS, *words.DAMON_GRID_KEYS))
    part.check_keys((*known, *words.DAMON_SWITCHES))
    _check_connection(part)
    return TrackerConfig(
        name="damon",
        pages_in_region=_pages_in_region(part),
        max_count_per_region=part.whole("maxcountperregion", 1),
        scan_interval_ms=part.duration_ms("scanintervalms", 5000, least=1),
        damon=_attributes(part),
    )


def _attributes(part: Part) -> DamonConfig:
    """In memtierd a 0 is the default, too."""
    named = any(part.gives(key) for key in words.DAMON_INTERVAL_KEYS)
    usual = DamonConfig() if named else MEASURED
    kdamonds = part.numbers("kdamondslist", "kdamond number", "[0, 1]", 0, 10_000)
    number = part.whole("nrkdamonds", 0, most=10_000)
    found = replace(
        _switched(part, usual),
        sampling_us=part.duration_us("samplingus", usual.sampling_us) or usual.sampling_us,
        aggregation_us=part.duration_us("aggregationus", usual.aggregation_us) or usual.aggregation_us,
        regions_update_us=part.duration_us("regionsupdateus", usual.regions_update_us) or usual.regions_update_us,
        min_regions=part.whole("mintargetregions", usual.min_regions, most=2**20) or usual.min_regions,
        max_regions=part.whole("maxtargetregions", usual.max_regions, most=2**20) or usual.max_regions,
        range_size_max=_range_size_max(part, usual.range_size_max),
        kdamonds=kdamonds,
        nr_kdamonds=number,
    )
    _check_attributes(part, found)
    return found


def _switched(part: Part, usual: DamonConfig) -> DamonConfig:
    return replace(
        usual,
        auto_tune=part.switch("autotune", default=usual.auto_tune),
        page_exact=part.switch("pageexact", default=usual.page_exact),
        pause_damon_stat=part.switch("pausedamonstat", default=usual.pause_damon_stat),
    )


def _range_size_max(part: Part, default: int) -> int:
    key = "filteraddressrangesizemax"
    native = words.NATIVE[key]
    if not part.has(native):
        return part.whole(key, default, least=-1, most=2**62) or default
    part.check_not_twice(key)
    return -1 if part.values[native] == "unlimited" else part.size(native, default, "32MiB (or unlimited)", least=1)


def _check_attributes(part: Part, found: DamonConfig) -> None:
    """What the kernel would refuse, or a kdamond would die of."""
    if found.sampling_us > found.aggregation_us:
        key = next((k for k in ("samplingus", "aggregationus") if part.gives(k)), "samplingus")
        said = f"samples every {found.sampling_us} us are rarer than their aggregation every {found.aggregation_us} us"
        part.say(part.spelled(key), said, "make the aggregation interval at least ten times the sampling interval")
    if found.min_regions < _LEAST_REGIONS:
        said = f"{found.min_regions} is too small; the least is {_LEAST_REGIONS}"
        part.say("mintargetregions", said, "for example mintargetregions: 10")
    if found.min_regions > found.max_regions:
        said = f"at least {found.min_regions} and at most {found.max_regions} regions contradict each other"
        key = "maxtargetregions" if part.has("maxtargetregions") else "mintargetregions"
        part.say(key, said, "make maxtargetregions at least mintargetregions")
    if found.nr_kdamonds and max(found.kdamonds, default=0) >= found.nr_kdamonds:
        said = f"kdamond {max(found.kdamonds)} is none of the {found.nr_kdamonds} that nrkdamonds asks for"
        part.say("kdamondslist", said, f"they are numbered 0 to {found.nr_kdamonds - 1}")


def _check_connection(part: Part) -> None:
    """How memtierd reaches DAMON; the kernel's own files need none of it."""
    connection = part.word("connection", "bpftrace")
    if connection.split(" ")[0] not in {"bpftrace", "perf"}:
        part.say(
            "connection", f"{checking.show(connection)} is neither bpftrace nor perf", "remove it: it is not needed"
        )
    elif part.has("connection"):
        said = f'"connection" is not needed: accesses are read from the kernel, without {connection.split(" ")[0]}'
        part.say("connection", said, "remove it", Severity.NOTE)
    if part.whole("interface", 0, most=2) == 2:
        said = '"interface" 2 is not needed: debugfs has gone from DAMON, its sysfs files are used'
        part.say("interface", said, "remove it", Severity.NOTE)
    if part.whole("sysfsregionsmanager", 0, most=1) == 1:
        said = '"sysfsregionsmanager" is not needed: regions always begin as what the process has mapped'
        part.say("sysfsregionsmanager", said, "remove it", Severity.NOTE)


# -- finder and multi ------------------------------------------------------------------------------------------------


def _finder(part: Part) -> TrackerConfig:
    part.check_keys(words.with_native(words.FINDER_KEYS))
    present, exclusive, soft_dirty = (part.switch(key) if part.has(key) else None for key in words.FINDER_BITS)
    accesses = part.whole("reportaccesses", 0, most=2**32 - 1)
    return TrackerConfig(
        name="finder",
        pages_in_region=_pages_in_region(part),
        scan_interval_ms=part.duration_ms("scanintervalms", 5000, least=1),
        regions_update_ms=part.duration_ms("regionsupdatems", _FINDER_UPDATE_MS),
        finder=FinderConfig(accesses=accesses, present=present, exclusive=exclusive, soft_dirty=soft_dirty),
    )


def _multi(part: Part) -> TrackerConfig:
    """Its regions are as small as the smallest that one of its trackers wants, and it looks as often as the busiest."""
    part.check_keys(("trackers",))
    found = tuple(read(*each) for each in part.each_named("trackers", words.TRACKERS))
    if not found:
        if not part.values.get("trackers"):
            part.say(
                "",
                'the multi tracker\'s "trackers" are missing',
                "write trackers: [{name: idlepage}, {name: softdirty}]",
            )
        return TrackerConfig(name="multi")
    return TrackerConfig(
        name="multi",
        pages_in_region=min(each.pages_in_region for each in found),
        scan_interval_ms=min(each.scan_interval_ms for each in found),
        regions_update_ms=min(each.regions_update_ms for each in found),
        trackers=found,
    )


# -- regions ---------------------------------------------------------------------------------------------------------


def _pages_in_region(part: Part) -> int:
    page_size = part.reading.page_size
    if not part.has("regionsize"):
        pages = part.whole("pagesinregion", 512, least=1, most=_LARGEST_REGION // page_size)
        return _not_few(part, "pagesinregion", pages)
    part.check_not_twice("pagesinregion")
    size = part.size("regionsize", 512 * page_size, "2MiB", page_size)
    if size > _LARGEST_REGION:
        said = f"{checking.show(part.values['regionsize'])} is too large; the most is"
        part.say("regionsize", f"{said} {quantities.human_bytes(_LARGEST_REGION)}", "for example regionsize: 2MiB")
    return _not_few(part, "regionsize", size // page_size)


def _not_few(part: Part, key: str, pages: int) -> int:
    if pages < _FEW_PAGES:
        said = (
            f"regions of {pages} page(s) cost the daemon {_REGION_BYTES / pages:.3g} bytes for each page of a workload"
        )
        part.say(key, said, f"{_FEW_PAGES} pages or more cost next to nothing", Severity.WARNING)
    return pages
