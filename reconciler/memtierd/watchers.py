"""Whose memory: pidwatchers, and the two keys that say it directly in a policy."""

from reconciler import checking, regexp
from reconciler.engineconfig import CGROUP_PLACEHOLDER, FilterConfig, WatcherConfig
from reconciler.memtierd import words
from reconciler.memtierd.parts import Part
from reconciler.model import Severity

_MOST_PID = 2**22  # of the kernel: PID_MAX_LIMIT
OWN = WatcherConfig(cgroups=(CGROUP_PLACEHOLDER,))


def of_policy(name: str, policy: Part) -> WatcherConfig:
    """Without any watcher it is the workload's own cgroup."""
    direct = [key for key in words.DIRECT_KEYS if policy.has(key)]
    if not direct:
        found = policy.named("pidwatcher", words.PIDWATCHERS) if policy.has("pidwatcher") else None
        return OWN if found is None else read(*found)
    if policy.has("pidwatcher") or len(direct) > 1:
        other = "pidwatcher" if policy.has("pidwatcher") else direct[1]
        policy.say(direct[0], f'"{direct[0]}" and "{other}" both say whose memory it is', "remove one of the two")
    return _direct(name, policy, direct[0])


def _direct(name: str, policy: Part, key: str) -> WatcherConfig:
    watcher = {"cgroups": "cgroups", "pids": "pidlist"}[key]
    if (name, key) != ("avoid-oom", "cgroups"):  # the only policy whose own key this is
        said = f'"{key}" directly in the policy is read as pidwatcher {watcher}; memtierd itself refuses it by now'
        policy.say(key, said, f"put it into pidwatcher {watcher}'s config", Severity.NOTE)
    if key == "pids":
        return WatcherConfig(name=watcher, pids=_pids(policy))
    return WatcherConfig(name=watcher, cgroups=_cgroups(policy))


def read(name: str, part: Part) -> WatcherConfig:
    part.check_keys(words.with_native(words.WATCHER_KEYS[name]))
    interval = part.duration_ms("intervalms", 5000, least=1)
    match name:
        case "cgroups":
            cgroups = _cgroups(part) if part.has("cgroups") else OWN.cgroups
            return WatcherConfig(name=name, cgroups=cgroups, interval_ms=interval)
        case "pidlist":
            return WatcherConfig(name=name, pids=_pids(part), interval_ms=interval)
        case "filter":
            return _filtered(part, interval)
        case _:
            return WatcherConfig(name=name, interval_ms=interval)


def _cgroups(part: Part) -> tuple[str, ...]:
    cgroups = part.texts("cgroups")
    for item, path in enumerate(cgroups):
        if path.partition("/")[0] not in {"", CGROUP_PLACEHOLDER} or not path or ".." in path.split("/"):
            hint = f"write {CGROUP_PLACEHOLDER} for the workload's own, or a path such as /sys/fs/cgroup/system.slice"
            part.say("cgroups", f"{checking.show(path)} is no absolute directory", hint, item=item)
    return cgroups


def _pids(part: Part) -> tuple[int, ...]:
    if not part.has("pids"):
        part.say("", 'the "pids" are missing', "for example pids: [1234]")
    return part.numbers("pids", "process id", "[1234]", 1, _MOST_PID)


# -- filter ----------------------------------------------------------------------------------------------------------


def _filtered(part: Part, interval: int) -> WatcherConfig:
    source = part.named("source", words.PIDWATCHERS) if part.has("source") else None
    if not part.has("source"):
        part.say("", 'the filter\'s "source" is missing', "write source: {name: proc}")
    if not part.values.get("filters"):
        said = 'the filter\'s "filters" are missing: no process would pass'
        part.say("filters" if part.has("filters") else "", said, "write filters: [{procexeregexp: /redis-server$}]")
    return WatcherConfig(
        name="filter",
        source=OWN if source is None else read(*source),
        filters=tuple(_filter(each) for each in part.each("filters", "procexeregexp")),
        interval_ms=interval,
    )


def _filter(part: Part) -> FilterConfig:
    part.check_keys(words.with_native(words.FILTER_KEYS))
    size, resident, dirty = (part.multiple(key, 1024, 0, "100M") for key in words.FILTER_SIZES)
    negated = part.below("not")
    if not part.values:
        part.say("", "an empty filter lets every process pass", "write procexeregexp: .* if that is meant")
    return FilterConfig(
        exe_regexp=_regexp(part),
        min_vm_size_kb=size,
        min_vm_rss_kb=resident,
        min_private_dirty_kb=dirty,
        all_of=tuple(_filter(each) for each in part.each("and", "procexeregexp")),
        any_of=tuple(_filter(each) for each in part.each("or", "procexeregexp")),
        none_of=() if negated is None else (_filter(negated),),
    )


def _regexp(part: Part) -> str:
    text = part.word("procexeregexp")
    try:
        regexp.compiled(text)
    except ValueError as error:
        said = f"{checking.show(text)} is no regular expression: {error}"
        part.say("procexeregexp", said, "for example procexeregexp: /redis-server$")
        return ""
    return text
