"""`ebbtide cat-config`: the class files in the order in which they are merged, and what they come to.

The counterpart of `systemd-analyze cat-config`, plus the result: one class file with the place behind each value.
"""

import argparse
import mmap
from collections.abc import Iterator
from dataclasses import asdict

from reconciler import classes, classfiles, merged, schemas
from reconciler.classes import ClassText, Loaded
from reconciler.cli import check, options, render
from reconciler.cli.failure import Exit
from reconciler.cli.render import Page
from reconciler.model import Severity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--result", action="store_true", help="only the result, not the files")


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    texts = check.installed(common)
    loaded = classes.load(texts, schemas.load(), page_size=mmap.PAGESIZE)
    out = classfiles.shadowed(check.directories(common))
    if common.json:
        render.show_document(_document(texts, loaded, out))
    else:
        page = render.page(color=common.color, legend=common.legend)
        files = [] if args.result else [*_files(texts, loaded, page), *_shadowed(out, page)]
        render.show([*files, *_result(loaded, page), *render.problems(page, loaded.problems)])
    return Exit.FOUND if any(p.severity is Severity.ERROR for p in loaded.problems) else Exit.FINE


def _files(texts: tuple[ClassText, ...], loaded: Loaded, page: Page) -> Iterator[str]:
    for text in texts:
        note = "  (left out: see the problems below)" if text.path in loaded.failed else ""
        yield page.paint(f"# {text.path}{note}", render.BOLD)
        yield from (line.expandtabs() for line in text.text.splitlines())
        yield ""


def _shadowed(out: tuple[classfiles.Shadowed, ...], page: Page) -> Iterator[str]:
    for one in out:
        how = "masked" if one.masked else "replaced"
        yield page.paint(f"# {one.path}  ({how} by {one.by})", render.DIM)
    if out:
        yield ""


def _result(loaded: Loaded, page: Page) -> Iterator[str]:
    found = merged.lines(loaded, mmap.PAGESIZE)
    width = min(60, max((len(line.text) for line in found if line.origin), default=0))
    yield page.paint("# the result", render.BOLD)
    for line in found:
        origin = page.paint(f"  # {line.origin}", render.DIM) if line.origin else ""
        yield f"{line.text.ljust(width)}{origin}" if origin else line.text
    if not found:
        yield "{}"


def _document(texts: tuple[ClassText, ...], loaded: Loaded, out: tuple[classfiles.Shadowed, ...]) -> object:
    return {
        "version": 1,
        "files": [{"path": text.path, "in_force": text.path not in loaded.failed, "text": text.text} for text in texts],
        "shadowed": [{"path": one.path, "by": one.by, "masked": one.masked} for one in out],
        "result": merged.document(loaded),
        "origins": [
            {"text": line.text.strip(), "file": line.origin.file, "line": line.origin.line}
            for line in merged.lines(loaded, mmap.PAGESIZE)
            if line.origin
        ],
        "problems": [asdict(problem) for problem in loaded.problems],
    }
