"""`ebbtide kubelet check`: would a kubelet start with this, what would it say, and what would be right."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.cli import options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.options import Options
from reconciler.kubelet import configuration, flags, reading, rules
from reconciler.kubelet.configuration import Sources
from reconciler.kubelet.findings import Finding
from reconciler.kubelet.flags import Flags
from reconciler.kubelet.machine import Machine
from reconciler.kubelet.rules import Verdict
from reconciler.model import Problem, Severity
from sysfs.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was checked: files, and the machine if one counted."""

    sources: Sources
    machine: Machine | None
    verdict: Verdict


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    looked = look(args, common)
    if common.json:
        render.show_document(document(looked))
    else:
        render.show(lines(looked, common))
    return Exit.FINE if looked.verdict.starts else Exit.FOUND


def look(args: argparse.Namespace, common: Options) -> Looked:
    """Files that are named are looked at alone, unless a machine is named as well."""
    named = bool(args.config or common.config_dirs or args.flags is not None)
    tree = Tree(common.root)
    given = given_flags(args, tree, named=named)
    found = _sources(args, common, given, named=named)
    machine = reading.machine(tree) if not named or args.here or tree.root else None
    verdict = rules.check(found, machine)
    if not named:
        removing = tuple(_removing(common))
        verdict = Verdict(
            effective=verdict.effective, required=verdict.required, findings=(*verdict.findings, *removing)
        )
    return Looked(sources=found, machine=machine, verdict=verdict)


def given_flags(args: argparse.Namespace, tree: Tree, *, named: bool) -> Flags:
    """Those that are named, or of the kubelet that runs."""
    if args.flags is None:
        return Flags() if named else reading.running_flags(tree) or Flags()
    try:
        return flags.parse(args.flags)
    except ValueError as error:
        hint = "write it as in a shell, in one text"
        raise Failure("--flags", str(error), hint=hint, code=Exit.USAGE) from error


def _sources(args: argparse.Namespace, common: Options, given: Flags, *, named: bool) -> Sources:
    if len(common.config_dirs) > 1:
        raise Failure("--config-dir", "a kubelet has only one", hint="name one directory", code=Exit.USAGE)
    version = args.for_version or configuration.LATEST
    inside = common.root.rstrip("/")
    config = args.config or (inside + given.config if given.config else "")
    if not named:
        config = inside + (given.config or reading.CONFIG)
    directory = common.config_dirs[0] if common.config_dirs else (given.config_dir and inside + given.config_dir)
    try:
        return reading.sources(config, directory, given, version)
    except FileNotFoundError as error:
        hint = "is there a kubelet on this node? --config names another file" if not named else ""
        raise Failure(str(error.filename), "no such file", hint=hint) from error


def _removing(common: Options) -> Iterator[Finding]:
    said = "removes the kubelet's state at every start, and with it what it knows of pinned containers"
    hint = "remove this line: the state needs to go only when the kubelet would refuse it"
    for path, line in reading.removing_units(common.root):
        yield Finding(problem=Problem(where=path, line=line, message=said, hint=hint, severity=Severity.WARNING))


# -- for people and programs ------------------------------------------------------------------------------------------


def lines(looked: Looked, common: Options) -> list[str]:
    page = render.page(color=common.color, legend=common.legend)
    result = told(page, looked.verdict.findings)
    if page.legend:
        result.append(_summary(looked))
    return result


def told(page: render.Page, findings: Iterable[Finding]) -> list[str]:
    """Problems, with the kubelet's words between what is wrong and what to do."""
    result: list[str] = []
    for finding in findings:
        first, *rest = render.problems(page, [finding.problem])
        kubelet = [f"    kubelet: {finding.kubelet}"] if finding.kubelet else []
        result.extend([first, *kubelet, *rest])
    return result


def problem_documents(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [{**asdict(one.problem), "kubelet": one.kubelet} for one in findings]


def _summary(looked: Looked) -> str:
    total = looked.verdict.required.total
    needed = f"; reservedMemory must be {total} ({looked.verdict.required.words()})" if total is not None else ""
    machine = "" if looked.machine else "; no machine was looked at"
    starts = "a kubelet would start" if looked.verdict.starts else "a kubelet would not start"
    return f"{starts}{needed if looked.verdict.required.parts else ''}{machine}"


def document(looked: Looked) -> dict[str, Any]:
    required = looked.verdict.required
    return {
        "version": 1,
        "starts": looked.verdict.starts,
        "files": [text.path for text in (looked.sources.main, *(looked.sources.dropins or ())) if text],
        "machine": looked.machine is not None,
        "requiredBytes": None if required.total is None else required.total.value,
        "problems": problem_documents(looked.verdict.findings),
    }
