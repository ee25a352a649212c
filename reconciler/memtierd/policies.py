"""The policies' own settings. What all policies have (tracker, mover, watcher) is read beside them."""

from collections.abc import Callable, Mapping

from reconciler import checking, documents, quantities
from reconciler.engineconfig import (
    SWAP,
    AgeConfig,
    AvoidOomConfig,
    DamosConfig,
    DamosGoal,
    DemoteIdleConfig,
    HeatConfig,
    HeatmapConfig,
    NodeSize,
    PolicyConfig,
    RatioConfig,
    StubConfig,
    Watermark,
)
from reconciler.memtierd import forecasters, words
from reconciler.memtierd.parts import MOST_NODE, Part
from reconciler.model import Severity

MOST_CLASSES = 1000
_USUAL_MS = 5000  # where memtierd has a default, or none at all and fails
_MUST_SAY_WHEN = {"age", "heat", "demote-idle"}


def read(name: str, part: Part) -> PolicyConfig:
    if name in _MUST_SAY_WHEN and not part.gives("intervalms"):
        part.say("", f'the {name} policy\'s "intervalms" is missing', "write intervalms: 10000 (or interval: 10s)")
    return _READERS[name](part, interval_ms(name, part))


def interval_ms(name: str, part: Part) -> int:
    return part.duration_ms("intervalms", 10000 if name in _MUST_SAY_WHEN else _USUAL_MS, least=1)


def _page_types(part: Part) -> tuple[str, ...]:
    if not part.has("pagetypes"):
        return ("anon",)
    found = part.texts("pagetypes")
    for item, word in enumerate(found):
        if word not in words.PAGE_TYPES:
            said = f'unknown page type "{documents.shorten(word)}"'
            part.say("pagetypes", said, checking.did_you_mean(word, words.PAGE_TYPES), item=item)
    if not found:
        part.say("pagetypes", "no page type is given", "write pagetypes: [anon], [file] or [anon, file]")
    return tuple(word for word in words.PAGE_TYPES if word in found)


# -- age -------------------------------------------------------------------------------------------------------------


def _age(part: Part, interval: int) -> AgeConfig:
    swapout = part.duration_ms("swapoutms", 0)
    idle, idle_nodes = _when_where(part, "idledurationms", "idlenumas")
    if idle_nodes == (SWAP,):  # memtierd's other way to say swapoutms
        swapout, idle, idle_nodes = min(filter(None, (swapout, idle)), default=0), 0, ()
    active, active_nodes = _when_where(part, "activedurationms", "activenumas")
    if SWAP in active_nodes:
        part.say("activenumas", "memory in use would go to swap (-1)", "name NUMA nodes, for example activenumas: [0]")
    return AgeConfig(
        interval_ms=interval,
        page_types=_page_types(part),
        swapout_ms=swapout,
        idle_ms=idle,
        idle_nodes=idle_nodes,
        active_ms=active,
        active_nodes=active_nodes,
    )


def _when_where(part: Part, duration: str, nodes: str) -> tuple[int, tuple[int, ...]]:
    """Demotion and promotion are off unless both are said."""
    after, listed = part.duration_ms(duration, 0), part.nodes(nodes)
    if listed and not part.gives(duration):
        said = f'"{nodes}" has no effect without "{duration}"'
        part.say(nodes, said, f"write {duration}: 15000 (or {words.NATIVE[duration]}: 15s)", Severity.NOTE)
    if after and not part.has(nodes):
        said = f'"{part.spelled(duration)}" has no effect without "{nodes}"'
        part.say(part.spelled(duration), said, f"write {nodes}: [2, 3]", Severity.NOTE)
    return after, listed


# -- heat ------------------------------------------------------------------------------------------------------------


def _heat(part: Part, interval: int) -> HeatConfig:
    heatmap = _heatmap(part)
    return HeatConfig(
        interval_ms=interval,
        page_types=_page_types(part),
        heatmap=heatmap,
        nodes=_heat_nodes(part, heatmap.classes),
        node_sizes=_node_sizes(part),
        forecaster=forecasters.of_policy(part),
    )


def _heatmap(policy: Part) -> HeatmapConfig:
    part = policy.below("heatmap")
    if part is None:
        return HeatmapConfig()
    part.check_keys(words.HEATMAP_KEYS)
    return HeatmapConfig(
        heat_max=part.number("heatmax", 1.0, most=1e9),
        retention=part.number("heatretention", 0.9513, most=1),
        classes=part.whole("heatclasses", 10, least=1, most=MOST_CLASSES),
    )


def _heat_nodes(policy: Part, classes: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    part = policy.below("heatnumas")
    if part is None:
        return ()
    found: dict[int, tuple[int, ...]] = {}
    for key in part.values:
        number = _whole_key(key)
        if number is None or not 0 <= number < classes:
            said = (
                f'"{documents.shorten(key)}" is no heat class; with heatclasses {classes} they are 0 to {classes - 1}'
            )
            part.say(key, said, "for example heatnumas: {0: [2, 3]}")
        else:
            found[number] = part.nodes(key)
    return tuple(sorted(found.items()))


def _node_sizes(policy: Part) -> tuple[NodeSize, ...]:
    part = policy.below("numasize")
    if part is None:
        return ()
    found: dict[int, NodeSize] = {}
    for key in part.values:
        node = _whole_key(key)
        if node is None or not SWAP <= node <= MOST_NODE:
            part.say(key, f'"{documents.shorten(key)}" is no node number', "for example numasize: {0: 1G, 2: 50%}")
            continue
        size, percent = part.size_or_percent(key, (0, None), "1G")
        found[node] = NodeSize(node=node, size_bytes=size, percent=percent)
    return tuple(found[node] for node in sorted(found))


def _whole_key(key: str) -> int | None:
    """The number that a key is, in its one spelling."""
    digits = key.removeprefix("-")
    plain = digits.isascii() and digits.isdecimal() and len(digits) < 10
    return int(key) if plain and str(int(key)) == key else None


# -- ratio, demote-idle, avoid-oom -----------------------------------------------------------------------------------


def _ratio(part: Part, interval: int) -> RatioConfig:
    if not part.has("ratio"):
        part.say("", 'the ratio policy\'s "ratio" is missing', "write ratio: 0.3 (or 30%)")
    if isinstance(part.values.get("ratio"), str):
        ratio = part.percent("ratio", 30) / 100
        if ratio == 0:
            part.say("ratio", "0% is too small; it must be more than 0", "for example ratio: 30%")
    else:
        ratio = part.number("ratio", 0.3, most=1)
    targets = part.nodes("ratiotargets") or (SWAP,)
    return RatioConfig(interval_ms=interval, page_types=_page_types(part), ratio=ratio, targets=targets)


def _demote_idle(part: Part, interval: int) -> DemoteIdleConfig:
    nodes = part.nodes("idlenumas")
    if not part.values.get("idlenumas"):
        said = 'the demote-idle policy\'s "idlenumas" is missing'
        part.say("idlenumas" if part.has("idlenumas") else "", said, "write idlenumas: [2]; -1 is swap")
    directory = part.word("pagesofinterestdir")
    if directory and (not directory.startswith("/") or ".." in directory.split("/")):
        said = f"{checking.show(directory)} is no absolute directory"
        part.say("pagesofinterestdir", said, "for example pagesofinterestdir: /run/pages-of-interest")
    return DemoteIdleConfig(
        interval_ms=interval,
        page_types=_page_types(part),
        idle_nodes=nodes,
        pages_of_interest_directory=directory,
    )


def _avoid_oom(part: Part, interval: int) -> AvoidOomConfig:
    start = _watermark(part, "startfreeingmemory", "8%")
    stop = _watermark(part, "stopfreeingmemory", "16%")
    if (start.percent is None) == (stop.percent is None) and not _below(start, stop):
        key = "stopfreeingmemory" if part.has("stopfreeingmemory") else "startfreeingmemory"
        said = f"freeing memory would start at {_shown(start)} available and stop at {_shown(stop)}, that is at once"
        part.say(key, said, "make stopfreeingmemory larger than startfreeingmemory")
    cgroups = part.texts("cgroups") if part.has("cgroups") else ()
    return AvoidOomConfig(interval_ms=interval, page_types=_page_types(part), start=start, stop=stop, cgroups=cgroups)


def _watermark(part: Part, key: str, default: str) -> Watermark:
    size, percent = part.size_or_percent(key, (0, quantities.percent_of(default)), default)
    return Watermark(size_bytes=size, percent=percent)


def _below(start: Watermark, stop: Watermark) -> bool:
    return (start.percent or 0, start.size_bytes) < (stop.percent or 0, stop.size_bytes)


def _shown(mark: Watermark) -> str:
    return quantities.human_bytes(mark.size_bytes) if mark.percent is None else f"{mark.percent:g}%"


# -- damos and stub --------------------------------------------------------------------------------------------------


def _damos(part: Part, interval: int) -> DamosConfig:
    least, most = part.size("minsize", 0, "64K"), part.size("maxsize", 0, "1G")
    if 0 < most < least:
        part.say("maxsize", "is smaller than minsize: no region is both", "make maxsize at least minsize")
    rarely, often = part.percent("minaccess", 0), part.percent("maxaccess", 0)
    if often < rarely:
        part.say("minaccess", "is more than maxaccess: no region is both", "for example maxaccess: 100%")
    action = part.one_of("action", "pageout", words.DAMOS_ACTIONS, "action")
    physical = part.switch("physical")
    if action.startswith("lru_") and not physical:
        part.say("action", f"{action} works on physical memory only", "write physical: true")
    page_types = _page_types(part)
    if action in words.DAMOS_ADVICE and page_types == ("file",) and not physical:
        hint = "write physical: true" if action == "pageout" else "write pagetypes: [anon, file]"
        part.say("pagetypes", f"{action} takes anonymous memory of processes, too", hint)
    return DamosConfig(
        interval_ms=interval,
        page_types=page_types,
        action=action,
        nodes=_damos_nodes(part, action),
        min_bytes=least,
        max_bytes=most,
        min_access_percent=rarely,
        max_access_percent=often,
        min_age_ms=part.duration_ms("minagems", 0),
        quota_bytes=part.size("quotasize", 0, "100M"),
        quota_ms=part.duration_ms("quotatimems", 0),
        quota_interval_ms=part.duration_ms("quotaintervalms", 1000, least=1),
        goals=tuple(_goal(goal) for goal in part.each("goals", "metric")),
        young=part.switch("young"),
        physical=physical,
    )


def _damos_nodes(part: Part, action: str) -> tuple[int, ...]:
    nodes = part.nodes("numas", least=0)
    if action.startswith("migrate_") and not part.values.get("numas"):
        part.say("action", f'{action} needs "numas"', "write numas: [2]")
    if nodes and not action.startswith("migrate_"):
        part.say("numas", f"{action} moves nothing to other nodes", "remove it, or write action: migrate_cold")
    return nodes


def _goal(part: Part) -> DamosGoal:
    part.check_keys(words.GOAL_KEYS)
    for key in ("metric", "target"):
        if not part.has(key):
            part.say("", f'the goal\'s "{key}" is missing', "write {metric: some_mem_psi_us, target: 10000}")
    metric = part.one_of("metric", words.DAMOS_METRICS[0], words.DAMOS_METRICS, "metric")
    node = part.whole("numa", 0, most=MOST_NODE) if part.has("numa") else None
    if metric.startswith("node_") and node is None:
        part.say("metric", f'{metric} needs "numa"', "write numa: 0")
    path = part.word("path")
    if metric.startswith("node_memcg_") and not path.startswith("/"):
        part.say(
            "path" if path else "metric", f'{metric} needs "path"', "write path: /batch.slice, below the cgroup mount"
        )
    return DamosGoal(metric=metric, target=part.whole("target", 1, least=1), node=node, path=path)


def _stub(part: Part, interval: int) -> StubConfig:
    return StubConfig(interval_ms=interval, page_types=_page_types(part))


_READERS: Mapping[str, Callable[[Part, int], PolicyConfig]] = {
    "age": _age,
    "heat": _heat,
    "ratio": _ratio,
    "demote-idle": _demote_idle,
    "avoid-oom": _avoid_oom,
    "damos": _damos,
    "stub": _stub,
}
