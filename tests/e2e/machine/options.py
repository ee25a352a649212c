"""The command line of tests/e2e/vm."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.machine import boot, image, kernel, topology

DESCRIPTION = """Boot a throw-away Debian virtual machine and run one command in it as root.

    vm run -- COMMAND ARG...           its output is shown, its exit status is ours
    vm run --shell [-- COMMAND]        an interactive shell on this terminal
    vm build [SUITE]                   make the disk image (trixie: Linux 6.12, containerd 1.7; forky: newer)
    vm kernel                          find or build the kernel with idle page tracking

The guest sees this checkout read-only at /src (or what --src says) and a scratch folder at /out, whose files come
back to the folder given with --out. Nothing else survives: the disk is a snapshot. No KVM is needed.
"""


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    if args.verb == "build":
        print(image.build(args.suite).disk)
        return 0
    if args.verb == "kernel":
        print(kernel.idlepage())
        return 0
    return run(args)


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    try:
        machine = described(args)
    except ValueError as why:
        print(f"vm: {why}", file=sys.stderr)
        return 64
    begin = boot.shell if args.shell else boot.run
    if not args.shell and not args.command:
        print("vm: run what? give a COMMAND after --, or --shell", file=sys.stderr)
        return 64
    status = begin(machine, args.command, args.out)
    if args.verbose:
        print(f"vm: {time.monotonic() - started:.0f} s in all", file=sys.stderr)
    return status


def described(args: argparse.Namespace) -> boot.Machine:
    chosen = kernel.named(args.kernel)
    return boot.Machine(
        suite=args.suite,
        kernel=chosen.image if chosen else None,
        initrd=args.initrd or (chosen.initrd if chosen else None),
        cpus=args.cpus,
        nodes=topology.parse(args.numa, args.distances, args.cpus),
        append=args.append,
        src=args.src,
        timeout=args.timeout,
    )


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="vm", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = top.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="make the disk image")
    verb.add_argument("suite", nargs="?", default="trixie", choices=image.SUITES)
    verbs.add_parser("kernel", help="find or build the test kernel, print its path")
    run_options(verbs.add_parser("run", help="boot and run a command"))
    return top


def run_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--suite", default="trixie", choices=image.SUITES)
    verb.add_argument(
        "--kernel", help="'idlepage' (our test kernel), a version (Debian's 6.1, 6.12, ...), or a bzImage"
    )
    verb.add_argument("--initrd", type=Path, help="the initrd that goes with --kernel, if it needs one")
    verb.add_argument("--cpus", type=int, default=2)
    verb.add_argument("--numa", default="2048,1024", help="MiB[:CPUS] of each node (default 2048,1024: all CPUs on 0)")
    verb.add_argument("--distances", default="", help="FROM-TO=DISTANCE,... between nodes, as in 0-1=20")
    verb.add_argument("--append", default="", help="more kernel parameters")
    verb.add_argument("--src", type=Path, default=kernel.REPOSITORY, help="folder shown at /src (default: checkout)")
    verb.add_argument("--out", type=Path, help="folder shown read-write at /out")
    verb.add_argument("--timeout", type=float, default=600, help="seconds; the shell has none")
    verb.add_argument("--shell", action="store_true", help="interactive, on this terminal")
    verb.add_argument("-v", "--verbose", action="store_true", help="tell how long it took")
    verb.add_argument("command", nargs="*")
