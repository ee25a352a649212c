"""`ebbtide doctor`: what this kernel, runtime and node allow, what is missing and how to get it. Changes nothing."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from reconciler import classfiles, doctor
from reconciler.agentdoctor import Verdict
from reconciler.cli import options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.render import Column, Page
from reconciler.doctor import Diagnosis
from reconciler.engine.kdamond_record import Record
from reconciler.model import Severity
from sysfs import boot, capture
from sysfs.damon_probe import Ours
from sysfs.tree import Tree

_WORDS = {"yes": render.GREEN, "no": render.RED, "on": render.GREEN, "off": render.RED, "unknown": render.YELLOW}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--capture",
        metavar="FILE",
        help="save what was looked at (names, numbers and settings; no memory, environments or command lines) into "
        "FILE.tar.gz, for --root FILE elsewhere",
    )


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    with capture.replay(common.root) as tree:
        if args.capture:
            _save(tree, args.capture)
        found = doctor.examine(tree, _lookalikes(common), _ours(tree, common))
    if common.json:
        render.show_document(document(found))
    else:
        render.show(lines(found, render.page(color=common.color, legend=common.legend)))
    return Exit.FOUND if any(problem.severity is Severity.ERROR for problem in found.problems) else Exit.FINE


def _save(tree: Tree, file: str) -> None:
    try:
        capture.capture(tree, file, doctor.surroundings(tree))
    except OSError as error:
        hint = "name a file in a folder that you may write to"
        raise Failure(file, f"cannot be written ({error.strerror})", hint=hint) from error


def _ours(tree: Tree, common: options.Options) -> Ours:
    """What the daemon of this state directory does with DAMON."""
    try:
        return Record(common.state_dir, boot.boot_id(tree)).load().ours
    except OSError:  # no state directory that we may read, or a tree without a boot
        return Ours()


def _lookalikes(common: options.Options) -> tuple[str, ...]:
    """A captured tree says nothing about this machine's class files, unless they are named."""
    folders = common.config_dirs or (classfiles.DEFAULT_DIRECTORIES if common.root == "/" else ())
    return tuple(classfiles.conf_lookalikes(folders))


def document(found: Diagnosis) -> dict[str, Any]:
    return {"version": 1, **asdict(found)}


def lines(found: Diagnosis, page: Page) -> list[str]:
    where = "" if found.live else " (not this machine's running system: judged by what was saved)"
    result = [f"Linux {found.kernel}{where}, cgroup v2 with memory controller: {found.cgroup_mount or 'none'}", ""]
    features = [Verdict(name=f.name, works=f.works, detail=f.detail) for f in found.features]
    result += _section(page, "FEATURE", features)
    result += _section(page, "TRACKER", found.trackers)
    result += _section(page, "POLICY", found.policies)
    result += _section(page, "AGENT", found.agent)
    result += _section(page, "CLASS KEY", found.knobs)
    result += _section(page, "PRIVILEGE", found.privileges)
    result += _runtimes(page, found)
    hints = [f"  {f.name}: {f.hint}" for f in found.features if f.hint and not f.works]
    result += [page.paint("how to get what is missing", render.BOLD), *hints, ""] if hints and page.legend else []
    return result + _problems(page, found)


def _section(page: Page, title: str, verdicts: Iterable[Verdict]) -> list[str]:
    columns = (Column(title=title), Column(title="WORKS", colors=_WORDS), Column(title="DETAIL", shrinks=True))
    rows = [(verdict.name, "yes" if verdict.works else "no", verdict.detail) for verdict in verdicts]
    return [*render.table(page, columns, rows), ""] if rows else []


def _runtimes(page: Page, found: Diagnosis) -> list[str]:
    columns = (Column(title="RUNTIME"), Column(title="NRI", colors=_WORDS), Column(title="DETAIL", shrinks=True))
    rows = [(runtime.name, runtime.nri, runtime.detail) for runtime in found.runtimes]
    result = render.table(page, columns, rows) if rows else []
    for runtime in found.runtimes:
        if runtime.lines:
            result += [
                f"to switch NRI on, put into {runtime.file}:",
                *_indented(runtime.lines),
                f"then: {runtime.then}",
            ]
    return [*result, ""] if result else []


def _problems(page: Page, found: Diagnosis) -> list[str]:
    if not found.problems:
        return ["nothing is in the way"]
    return [page.paint("in the way", render.BOLD), *render.problems(page, found.problems)]


def _indented(texts: Sequence[str]) -> list[str]:
    return [f"    {text}" for text in texts]
