"""`ebbtide kubelet render`: the drop-in that class files ask for, computed for this machine; nothing is written."""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from reconciler import classes, schemas
from reconciler.cli import check, kubelet_check, options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.options import Options
from reconciler.kubelet import compute, configuration, reading
from reconciler.kubelet.compute import Rendered
from reconciler.kubelet.configuration import Sources, Text
from reconciler.kubelet.findings import Finding
from reconciler.kubelet.machine import Machine
from reconciler.kubeletconfig import KubeletConfig
from reconciler.model import Problem, Severity
from sysfs.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    rendered: Rendered
    path: str  # where it belongs
    machine: Machine
    root_dir: str  # where the kubelet has its state


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    computed = compute_for(args, common)
    show(computed.rendered, common, computed.path)
    return Exit.FINE if computed.rendered.text else Exit.FOUND


def compute_for(args: argparse.Namespace, common: Options) -> Computed:
    """The drop-in for this node's kubelet, or for the files that are named."""
    tree = Tree(common.root)
    flags = kubelet_check.given_flags(args, tree, named=bool(args.config))
    inside = common.root.rstrip("/")
    directory = inside + flags.config_dir if flags.config_dir else ""
    main = _main(args.config or inside + (flags.config or reading.CONFIG), named=bool(args.config))
    sources = Sources(
        main=main,
        dropins=reading.dropins(directory) if directory else None,
        flags=flags,
        version=args.for_version or configuration.LATEST,
    )
    path = str(PurePosixPath(directory) / compute.NAME)
    machine = _machine(tree)
    rendered = compute.render(_wanted(common), sources, machine, path)
    if not directory:
        rendered = replace(rendered, findings=(*rendered.findings, _nowhere()))
    return Computed(rendered=rendered, path=path, machine=machine, root_dir=flags.root_dir or reading.ROOT_DIR)


def _nowhere() -> Finding:
    said = "this kubelet has no drop-in directory that we know of, so it would not read the file"
    hint = "start it with --config-dir, name the directory in --flags, or put the keys into its main file"
    return Finding(problem=Problem(where=compute.NAME, message=said, hint=hint, severity=Severity.WARNING))


def _wanted(common: Options) -> KubeletConfig:
    found = classes.load(check.installed(common), schemas.load()).table.kubelet
    if found is None:
        hint = "write for example kubelet: {memoryManager: {policy: Static}} into a class file"
        raise Failure("kubelet", "no class file says what its configuration should be", hint=hint)
    return found


def _machine(tree: Tree) -> Machine:
    found = reading.machine(tree)
    if found is None:
        raise Failure(tree.path("/proc/meminfo"), "says nothing of this machine's memory")
    return found


def _main(path: str, *, named: bool) -> Text | None:
    """A node whose kubelet was never configured has none."""
    try:
        return reading.read(path)
    except FileNotFoundError as error:
        if named:
            raise Failure(path, "no such file") from error
        return None


def show(rendered: Rendered, common: Options, path: str) -> None:
    """The text alone goes to standard output, so that it can be kept; what there is to say of it does not."""
    if common.json:
        render.show_document(document(rendered, path))
        return
    page = render.page(color=common.color, legend=common.legend, stream=sys.stderr)
    render.show(kubelet_check.told(page, rendered.findings), stream=sys.stderr)
    render.show(rendered.text.splitlines())


def document(rendered: Rendered, path: str) -> dict[str, Any]:
    shares = rendered.shares or {}
    return {
        "version": 1,
        "path": path,
        "text": rendered.text,
        "nodes": [{"node": node, "reservedBytes": amount} for node, amount in shares.items()],
        "problems": kubelet_check.problem_documents(rendered.findings),
    }
