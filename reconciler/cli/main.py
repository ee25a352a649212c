"""The command `ebbtide`: finds the verb, reads its options, runs it, and turns every failure into words and a code.

A verb is a module with `add_arguments(parser)` and `run(args) -> int`. It is imported only when it is used, so that
`ebbtide status` starts without gRPC and numpy.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol, cast

from reconciler import versions
from reconciler.cli import options, render
from reconciler.cli.failure import Exit, Failure
from sysfs import errors


class Verb(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


VERBS = {
    "status": "what is managed and how it is going (the default)",
    "plan": "what would be done now, without doing it",
    "verify": "whether the kernel shows what the classes ask for",
    "explain": "every setting of a workload: now, wanted, original, and who asks for it",
    "top": "workloads by what they use or save, live; once on a pipe",
    "report": "one HTML page about this node: savings, pressure, refaults, by class and workload",
    "heatmap": "which memory of a workload was used when, and its working set over time; also as a picture",
    "accessed": "a workload's memory by the time since its last access",
    "stats": "what the loops did to each process",
    "what-if": "what would leave at each age, and how much of it would come back",
    "right-size": "a request and a limit that fit a workload, with the evidence",
    "check": "whether class files are right, with places and hints",
    "cat-config": "class files in the order in which they are merged, and the result",
    "import": "configuration of other programs as a class file",
    "kubelet": "whether a kubelet would start with its memory configuration, and what would be right",
    "doctor": "what this kernel, runtime and node allow, and how to get more",
    "journal": "what was done, with what was before and after",
    "events": "what changed, and with --follow what changes",
    "memcg": "aging and eviction of cgroups: what it does, its settings, and changing them",
    "compact": "compaction of memory: the same",
    "ctl": "kata-agent-ctl's commands for mem-agent, to our daemon or to a kata-agent",
    "pause": "stop changing anything until `resume`",
    "resume": "undo `pause`",
    "release": "put original values back and leave workloads alone",
    "daemon": "the reconciler itself, in the foreground",
    "prompt": "memtierd's prompt on the running daemon",
    "memtierd": "memtierd's command line and prompt, with an engine of its own",
    "nri": "the plugin that the container runtime talks to",
    "demo": "the main job on this machine, within a minute",
    "exercise": "uses memory as told, and says exactly which: ground truth for trackers",
    "complete": "names of workloads and classes, for shell completion",
}
_MODULES = {"import": "importing"}  # `import` can be no module's name
EPILOG = """\
exit status:
  0 all is well              1 problems, drift, or a failure      2 plan: there is something to do
  3 the daemon is not running    4 no such workload    64 wrong usage    77 a privilege is missing
"""


class _Parser(argparse.ArgumentParser):
    """A parser that learns its verb's options when it is used, and says usage errors with our code."""

    verb = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.verb:
            check = getattr(module(self.verb), "check_words", None)
            if check is not None and args is not None:
                check(args)
            module(self.verb).add_arguments(self)
            options.add(self, defaults=False)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise Failure("", message, hint=f"see {self.prog} --help", code=Exit.USAGE)


def module(verb: str) -> Verb:
    return cast("Verb", importlib.import_module(f"reconciler.cli.{_MODULES.get(verb, verb.replace('-', '_'))}"))


def build_parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="ebbtide",
        description="Keeps idle container memory out of RAM, as class files ask for.",
        epilog=EPILOG,
        formatter_class=layout,
        allow_abbrev=False,
    )
    options.add(parser, defaults=True)
    parser.add_argument("--version", action="version", version=f"ebbtide {versions.version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=_Parser)
    for name, text in VERBS.items():
        verbs.add_parser(name, help=text, description=text, allow_abbrev=False).verb = name
    return parser


def main(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Run one command line and return its exit code; nothing but a bug gets out as an exception."""
    try:
        return _dispatch(_with_verb(list(argv), environment))
    except Failure as failure:
        return _complain(failure)
    except BrokenPipeError:
        raise
    except (errors.Refused, PermissionError) as error:
        return _complain(Failure("", _words(error), hint="try as root", code=Exit.PRIVILEGE))
    except OSError as error:
        return _complain(Failure("", _words(error)))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def run() -> None:
    """The console entry: a reader that closes the pipe early (`ebbtide status | head`) is no error."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # a terminal that knows no such character
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.FINE
    sys.exit(code)


def _with_verb(argv: list[str], environment: Mapping[str, str]) -> list[str]:
    """A runtime starts its plugins without arguments and with this variable; people without a verb mean `status`."""
    if not argv and "NRI_PLUGIN_NAME" in environment:
        return ["nri"]
    return argv


def _dispatch(argv: list[str]) -> int:
    try:
        parser = build_parser()
        args = parser.parse_args(argv)
        if args.verb is None:
            args = parser.parse_args([*argv, "status"])
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    return module(args.verb).run(args)


def _words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _complain(failure: Failure) -> int:
    log = [f"  {line}" for line in failure.log.splitlines()]
    hint = [f"hint: {failure.hint}"] if failure.hint else []
    render.show([f"ebbtide: {failure}", *log, *hint], stream=sys.stderr)
    return failure.code
