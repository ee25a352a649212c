"""`ebbtide explain WORKLOAD`: every setting as it is now, as it is wanted, as it was, and who asks for it."""

import argparse
import time
from dataclasses import asdict
from typing import Any

from reconciler import agentwanted, plan
from reconciler.cli import looking, options, render, select, steps
from reconciler.cli import plan as plan_verb
from reconciler.cli.failure import Exit
from reconciler.cli.looking import Looked
from reconciler.cli.render import Column, Page
from reconciler.memtierd import native
from reconciler.model import DesiredWorkload, Knob, ObservedWorkload, Origin, Problem, Workload
from reconciler.quantities import human_bytes

GONE = ObservedWorkload(inode=0)
COLUMNS = (
    Column(title="SETTING"),
    Column(title="NOW"),
    Column(title="WANTED"),
    Column(title="ORIGINAL"),
    Column(title="FROM", shrinks=True),
)
CLASS_ANNOTATIONS = ("class.memtierd.nri.io", "class.memory-qos.nri.io")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", metavar="WORKLOAD", help="namespace/pod/container, or an id")


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    with looking.now(common) as looked:
        workload = select.one(looking.names(looked.look), args.workload)
        explained = explain(looked, looked.look.desired.workloads[workload])
        found = looked.look.desired.workloads[workload].problems
    if common.json:
        render.show_document(explained)
    else:
        render.show(lines(explained, found, render.page(color=common.color, legend=common.legend)))
    return Exit.FINE


def explain(looked: Looked, wanted: DesiredWorkload) -> dict[str, Any]:
    """The document of schema/explain.schema.json."""
    workload = wanted.workload
    decided = plan.plan(looked.look.desired, looked.look.observed, looked.known, time.monotonic())
    mine = plan_verb.only(decided, [workload.id])
    return {
        "version": 1,
        "id": workload.id,
        "name": workload.name,
        "class_name": wanted.class_name,
        "class_from": class_from(workload),
        "source": workload.source,
        "state": workload.state,
        "mode": wanted.mode,
        "on_stop": wanted.on_stop,
        "cgroup": workload.cgroup,
        "pids": list(workload.pids),
        "memory_limit": workload.memory_limit,
        "settings": _settings(looked, wanted),
        "keys": {key: str(origin) for key, origin in sorted(wanted.origins.items()) if key not in {*Knob, "name"}},
        "engine": _engine(wanted, looked.look.features.page_size),
        "agent": _agent(looked, workload),
        "actions": [steps.document(action, workload.name, plan_verb.origin(looked, action)) for action in mine.actions],
        "holds": [steps.held(hold, workload.name) for hold in mine.holds],
        "problems": [asdict(problem) for problem in wanted.problems],
    }


def class_from(workload: Workload) -> str:
    """Who gave it this class: its record or class file, or the annotation that counts."""
    if workload.class_name is not None:
        return workload.source
    keys = [key for word in CLASS_ANNOTATIONS for key in (f"{word}/{workload.container}", word)]
    return next((f"annotation {key}: {workload.annotations[key]}" for key in keys if key in workload.annotations), "")


def lines(document: dict[str, Any], found: tuple[Problem, ...], page: Page) -> list[str]:
    limit = document["memory_limit"]
    facts = {
        "class": f"{document['class_name'] or '(none)'}   {_by(document['class_from'])}",
        "record": document["source"],
        "cgroup": document["cgroup"],
        "pids": ", ".join(map(str, document["pids"])),
        "limit": "" if limit is None else human_bytes(limit),
        "mode": f"{document['mode']}; on stop: {document['on_stop']}; {document['state']}",
    }
    result = [page.paint(f"{document['name']} ({document['id']})", render.BOLD)]
    result += [f"  {key:7} {text.strip()}" for key, text in facts.items() if text]
    if document["settings"]:
        rows = [[each[key] for key in ("key", "now", "wanted", "original", "origin")] for each in document["settings"]]
        result += ["", *render.table(page, COLUMNS, rows)]
    if document["keys"]:
        result += ["", *(f"  {key} is set in {origin}" for key, origin in document["keys"].items())]
    return [
        *result,
        *_engine_lines(document["engine"]),
        *_agent_lines(document["agent"]),
        *_next(document),
        *render.problems(page, found),
    ]


def _by(text: str) -> str:
    return f"by {text}" if text else ""


def _settings(looked: Looked, wanted: DesiredWorkload) -> list[dict[str, str]]:
    seen = looked.look.observed.workloads.get(wanted.workload.id, GONE)
    known = {knob for cgroup, knob in looked.known.baseline if cgroup == wanted.workload.cgroup}
    return [
        _setting(looked, wanted, seen, knob) for knob in Knob if knob in known | set(wanted.knobs) | set(seen.knobs)
    ]


def _setting(looked: Looked, wanted: DesiredWorkload, seen: ObservedWorkload, knob: Knob) -> dict[str, str]:
    entry = looked.known.baseline.get((wanted.workload.cgroup, knob))
    return {
        "key": knob,
        "now": seen.knobs.get(knob, seen.unreadable.get(knob, "")),
        "wanted": wanted.knobs.get(knob, ""),
        "original": entry.original if entry else "",
        "origin": str(wanted.origins.get(knob, Origin(file=""))),
    }


def _engine(wanted: DesiredWorkload, page_size: int) -> dict[str, Any] | None:
    task = wanted.engine
    if task is None:
        return None
    return {**asdict(task), "moves": task.config.moves(), "memtierdconfig": native.mapping(task.config, page_size)}


def _agent(looked: Looked, workload: Workload) -> dict[str, Any] | None:
    """What the node's agent does with it; None where it does nothing at all."""
    task = looked.look.desired.agent
    if task is None or agentwanted.is_off(task) or not workload.cgroup:
        return None
    entries = agentwanted.holding(task.memcg, workload.cgroup) if task.memcg else ()
    reclaim = next((asdict(each.config) for each in task.reclaims if each.workload == workload.id), None)
    return {
        "kept": next((one.reason for one in task.kept if agentwanted.is_kept(workload.cgroup, (one,))), ""),
        "memcg": [{"numa_id": list(each.numa_id), **asdict(each.profile)} for each in entries],
        "reclaim": reclaim,
    }


def _agent_lines(agent: dict[str, Any] | None) -> list[str]:
    if agent is None:
        return []
    facts = [("kept", f"by the agent: {agent['kept']}")] if agent["kept"] else []
    facts += [("memcg", _spelled(each)) for each in agent["memcg"] if not agent["kept"]]
    facts += [("reclaim", _spelled(agent["reclaim"]))] if agent["reclaim"] else []
    return ["", *(f"  {key:7} {text}" for key, text in facts)] if facts else []


def _engine_lines(engine: dict[str, Any] | None) -> list[str]:
    """From our own spelling of the configuration, whose values have units already."""
    if engine is None:
        return []
    policy = engine["memtierdconfig"]["policy"]
    settings = dict(policy["config"])
    tracker, mover = settings.pop("tracker"), settings.pop("mover")
    asked = f" (asked for: {tracker['name']})" if tracker["name"] != engine["tracker"] else ""
    measures = "" if engine["moves"] else "measures only; "
    routines = [("routine", _spelled(each["config"])) for each in engine["memtierdconfig"].get("routines", ())]
    scope = [*engine["cgroups"], *(f"pid {pid}" for pid in engine["pids"])] or ["as its pidwatcher finds"]
    facts = [
        ("engine", f"{policy['name']}: {measures}{_spelled(settings)}"),
        ("tracker", f"{engine['tracker']}{asked}: {_spelled(tracker.get('config', {}))}"),
        ("mover", _spelled(mover)),
        *routines,
        ("scope", ", ".join(scope)),
    ]
    return ["", *(f"  {key:7} {text.strip(' :;')}" for key, text in facts)]


def _spelled(value: object) -> str:
    """On one line, as it could stand in a class file."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_inner(each)}" for key, each in value.items())
    return ", ".join(map(_inner, value)) if isinstance(value, list) else str(value)


def _inner(value: object) -> str:
    if isinstance(value, dict):
        return f"{{{_spelled(value)}}}"
    return (
        f"[{_spelled(value)}]"
        if isinstance(value, list)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


def _next(document: dict[str, Any]) -> list[str]:
    steps_to_do = [f"  next    {each['action']} {each['what']} {each['then']}".rstrip() for each in document["actions"]]
    held = [
        f"  held    {each['what']} {each['reason']}".replace("  held     ", "  held    ") for each in document["holds"]
    ]
    return ["", *steps_to_do, *held] if steps_to_do or held else []
