"""`ebbtide check`: whether class files are right, read exactly as the daemon reads them."""

import argparse
import mmap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from reconciler import classes, classfiles, documents, schemas
from reconciler.classes import ClassText
from reconciler.cli import options, render
from reconciler.cli.failure import Exit
from reconciler.cli.options import Options
from reconciler.memtierd import config as memtierd
from reconciler.model import Problem, Severity
from sysfs import boot
from sysfs.errors import KernelError
from sysfs.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    files: tuple[str, ...]
    problems: tuple[Problem, ...]

    def wrong(self) -> bool:
        return any(problem.severity is not Severity.NOTE for problem in self.problems)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="class files or memtierd configurations, checked with the installed classes in mind; without any: "
        "all installed class files",
    )


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    checked = check(installed(common), args.files)
    if common.json:
        render.show_document({"version": 1, **asdict(checked)})
    else:
        render.show(lines(checked, common))
    return Exit.FOUND if checked.wrong() else Exit.FINE


def directories(common: Options) -> tuple[str, ...]:
    """Where drop-ins are, highest first."""
    return common.config_dirs or classfiles.DEFAULT_DIRECTORIES


def installed(common: Options) -> tuple[ClassText, ...]:
    """What the daemon reads, in merge order."""
    boot_id = ""
    with suppress(KernelError):  # a captured tree may say nothing of it
        boot_id = boot.boot_id(Tree(common.root))
    return classfiles.installed(common.state_dir, directories(common), boot_id)


def check(present: Sequence[ClassText], files: Sequence[str]) -> Checked:
    """The problems of the files named, or of all that are installed."""
    named = classfiles.read((), files)
    own = tuple(text for text in named if _is_memtierds(text))
    texts = (*present, *(text for text in named if text not in own))
    loaded = classes.load(texts, schemas.load(), page_size=mmap.PAGESIZE)
    paths = tuple(files) or tuple(text.path for text in texts)
    found = [*loaded.problems, *(problem for text in own for problem in _memtierds_problems(text))]
    here = [problem for problem in found if problem.where in paths]
    return Checked(files=paths, problems=tuple(sorted(dict.fromkeys(here), key=_place(paths))))


def _place(paths: Sequence[str]) -> Callable[[Problem], tuple[int, int, int, str]]:
    return lambda problem: (paths.index(problem.where), problem.line, problem.column, problem.pointer)


def _is_memtierds(text: ClassText) -> bool:
    """Memtierd's own configuration files have a policy at the top, where a class file has classes."""
    document = documents.parse(text.text, text.path)
    if isinstance(document, tuple) or not isinstance(document.value, dict):
        return False
    return "policy" in document.value and "classes" not in document.value


def _memtierds_problems(text: ClassText) -> tuple[Problem, ...]:
    document = documents.parse(text.text, text.path)
    assert not isinstance(document, tuple)
    return memtierd.read(document, "", document.value, mmap.PAGESIZE).problems


def lines(checked: Checked, common: Options) -> list[str]:
    page = render.page(color=common.color, legend=common.legend)
    result = render.problems(page, checked.problems)
    if page.legend:
        result.append(_summary(checked, common))
    return result


def _summary(checked: Checked, common: Options) -> str:
    if not checked.files:
        return f"no class files in {', '.join((classfiles.handed_folder(common.state_dir), *directories(common)))}"
    count = len(checked.files)
    files = f"{count} file{'s' if count != 1 else ''}"
    tally = [(severity, sum(p.severity is severity for p in checked.problems)) for severity in Severity]
    counts = [f"{n} {severity}{'s' if n != 1 else ''}" for severity, n in tally if n]
    return f"{files}: {', '.join(counts)}" if checked.wrong() else ", ".join([files, "no problems", *counts])
