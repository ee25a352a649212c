"""What `ebbtide memcg` and `ebbtide compact` have in common: keys that hold, are changed and put back; figures."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.agentconfig import NEVER
from reconciler.cli import asking, options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.render import Column

COLUMNS = (
    Column(title="KEY"),
    Column(title="VALUE", right=True),
    Column(title="GIVEN BY", shrinks=True),
)
DEFAULT = "default"
DEEDS = ("status", "get", "set", "reset")
_ENTRY = ("path", "numa_id", "no_subdir")


def add_arguments(parser: argparse.ArgumentParser, section: str, example: str) -> None:
    add = parser.add_argument
    add("deed", nargs="?", choices=DEEDS, default="status", help="what to do (status)")
    add("json", nargs="?", metavar="JSON", help=f"of set: keys to change, such as '{example}'; others stay as they are")
    add("--persist", action="store_true", help="of set: also after a restart; writes a drop-in class file")
    if section == "memcg":
        add("--workload", metavar="WORKLOAD", help="only its cgroup, with all below it")
        add("--cgroup", metavar="PATH", help="only this cgroup, with all below it")
    parser.epilog = (
        "What is set holds at once and ends with the daemon, unless --persist; reset makes class files hold again."
    )


def run(args: argparse.Namespace, section: str) -> int:
    common = options.of(args)
    check(args, section)
    with asking.daemon(common, section) as ends:
        target = _target(common, args)
        match args.deed:
            case "get":
                document = ends.configured(section, **target)
            case "set":
                document = ends.change(section, args.json, persist=args.persist, **target)
            case "reset":
                document = ends.reset(section, **target)
            case _:
                document = ends.counted(section, **target)
    if common.json:
        render.show_document(document)
    else:
        page = render.page(color=common.color, legend=common.legend)
        render.show(counted(document) if args.deed == "status" else configured(document, page))
    return Exit.FINE


def check(args: argparse.Namespace, section: str) -> None:
    if (args.json is not None) != (args.deed == "set"):
        said = "set needs a JSON object" if args.deed == "set" else f"{args.deed} takes no JSON"
        raise Failure(section, said, hint=f"ebbtide {section} set '{{\"disabled\": false}}'", code=Exit.USAGE)
    if args.persist and args.deed != "set":
        raise Failure(section, f"--persist says nothing to {args.deed}", code=Exit.USAGE)
    if getattr(args, "workload", None) and args.cgroup:
        raise Failure(section, "a workload or a cgroup, not both", code=Exit.USAGE)


def _target(common: options.Options, args: argparse.Namespace) -> dict[str, str]:
    if getattr(args, "workload", None):
        return {"workload": asking.workload(common, args.workload)}
    return {"cgroup": args.cgroup} if getattr(args, "cgroup", None) else {}


# -- for people --------------------------------------------------------------------------------------------------------


def configured(document: Mapping[str, Any], page: render.Page) -> list[str]:
    where = f" of {document['cgroup']}" if document["cgroup"] else ""
    state = "on" if _runs(document) else "off"
    lines = [f"{document['section']}{where}: {state}"] if page.legend else []
    if document["values"]:
        rows = [
            [key, shown(key, value), document["origins"].get(key, DEFAULT)] for key, value in document["values"].items()
        ]
        lines += render.table(page, COLUMNS, rows)
    for entry in document["entries"]:
        lines += _entry(document, entry, page)
    lines += [f"kept in {document['kept']}"] if document.get("kept") else []
    return lines + [f"note: {note}" for note in document.get("notes", ())]


def _runs(document: Mapping[str, Any]) -> bool:
    found = [document["values"], *document["entries"]]
    return any(not each["disabled"] for each in found if "disabled" in each)


def _entry(document: Mapping[str, Any], entry: Mapping[str, Any], page: render.Page) -> list[str]:
    nodes = f" on node {', '.join(map(str, entry['numa_id']))}" if entry["numa_id"] else ""
    alone = ", itself only" if entry["no_subdir"] else ""
    profile = {key: value for key, value in entry.items() if key not in _ENTRY}
    origins = document["origins"] if document["cgroup"] else {}
    given = DEFAULT if document["cgroup"] else ""
    rows = [[key, shown(key, value), origins.get(key, given)] for key, value in profile.items()]
    return ["", f"{entry['path']}{nodes}{alone}:", *render.table(page, COLUMNS, rows)]


def counted(document: Mapping[str, Any]) -> list[str]:
    return [f"agent: {document['doing']}", *_nested(document["report"], "")]


def _nested(value: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, one in value.items():
        if one in ("", [], {}, None):
            continue
        if isinstance(one, Mapping):
            lines += [f"{indent}{_name(key)}:", *_nested(one, indent + "  ")]
        elif isinstance(one, list):
            lines += [f"{indent}{_name(key)}:", *_listed(one, indent)]
        else:
            lines.append(f"{indent}{_name(key)}: {shown(key, one)}")
    return lines


def _listed(listed: Iterable[Any], indent: str) -> list[str]:
    lines: list[str] = []
    for one in listed:
        below = _nested(one, f"{indent}    ") if isinstance(one, Mapping) else [f"{indent}    {shown('', one)}"]
        lines += [f"{indent}  - {below[0].strip()}", *below[1:]] if below else []
    return lines


def _name(key: str) -> str:
    return key.replace("_", " ")


def shown(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if key == "compact_force_times" and isinstance(value, int) and value >= NEVER >> 1:
        return "never"
    return f"{value:g}" if isinstance(value, float) else render.clean(str(value))
