"""`ebbtide kubelet plan`: what has to be done for the kubelet to run as class files ask; nothing of it is done."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from reconciler.cli import kubelet_check, kubelet_render, options, render
from reconciler.cli.failure import Exit
from reconciler.cli.kubelet_render import Computed
from reconciler.cli.options import Options
from reconciler.cli.render import Column
from reconciler.kubelet import reading, steps
from reconciler.kubelet.steps import StateFiles, Step
from sysfs.tree import Tree

_COLUMNS = (Column(title="STEP"), Column(title="WHAT", shrinks=True), Column(title="WHY", shrinks=True))


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    computed = kubelet_render.compute_for(args, common)
    found = _steps(computed, common)
    if common.json:
        problems = kubelet_check.problem_documents(computed.rendered.findings)
        document = {"version": 1, "path": computed.path, "steps": [asdict(one) for one in found], "problems": problems}
        render.show_document(document)
    else:
        page = render.page(color=common.color, legend=common.legend, stream=sys.stderr)
        render.show(kubelet_check.told(page, computed.rendered.findings), stream=sys.stderr)
        render.show(_lines(found, common) if computed.rendered.text else [])
    if not computed.rendered.text:
        return Exit.FOUND
    return Exit.PENDING if found else Exit.FINE


def _steps(computed: Computed, common: Options) -> tuple[Step, ...]:
    rendered = computed.rendered
    if not rendered.text or rendered.effective is None:
        return ()
    tree = Tree(common.root)
    names = (reading.MEMORY_STATE, reading.CPU_STATE)
    memory, cpu = (reading.state(tree, name, computed.root_dir) for name in names)
    memory_path, cpu_path = (tree.path(f"{computed.root_dir}/{name}") for name in names)
    files = StateFiles(memory_path=memory_path, cpu_path=cpu_path, memory=memory, cpu=cpu)
    found = steps.plan(
        rendered.text,
        rendered.effective,
        computed.machine,
        path=computed.path,
        present=_present(computed.path),
        files=files,
    )
    return (*steps.edits(tuple(reading.removing_units(common.root))), *found)


def _present(path: str) -> str | None:
    try:
        return reading.read(path).text
    except FileNotFoundError:
        return None


def _lines(found: Sequence[Step], common: Options) -> list[str]:
    page = render.page(color=common.color, legend=common.legend)
    if not found:
        return ["nothing to do"] if page.legend else []
    return render.table(page, _COLUMNS, [(one.deed, one.what, one.why) for one in found])
