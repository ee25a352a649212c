"""`ebbtide memtierd`: memtierd's command line and prompt, with an engine of its own in this process.

Its order: the configuration is started, then come the commands of -c, those of -f, and what is on standard input. With
-prompt the end of standard input is the end. With -config alone input is read, too, as the manual shows it; but where
none ever comes (a service's empty input) the configuration runs on until a signal.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TextIO

from reconciler import checking
from reconciler.cli import options, render
from reconciler.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from reconciler.cli.talk import Talk
    from reconciler.engineconfig import EngineConfig
    from reconciler.memtierd.own import Beside, Own
    from reconciler.model import Problem
    from sysfs.tree import Tree

_VALUED = ("config", "c", "f", "l")
_SWITCHES = ("prompt", "echo", "debug", "version", "force")
_HELP = ("h", "o", "help")
_SIGNAL_S = 0.5
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """A signal has asked us to end; no command may take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "All flags may also have two dashes. Exit status: 1 if the configuration is wrong, or if any command of -c, "
        "of -f or of a pipe failed. At the prompt, `help` lists the commands."
    )
    add = parser.add_argument
    add("-config", "--config", metavar="FILE", help="start this configuration; `q` or a signal ends it")
    add("-prompt", "--prompt", action="store_true", help="read commands from standard input until it ends")
    add("-c", "--c", metavar="STRING", help='run these commands; "-": those of standard input; "": read none')
    add("-f", "--f", metavar="FILE", help="run the commands in this file")
    add("-l", "--l", metavar="FILE", default="stderr", help="log to this file, or to stdout or - or stderr (stderr)")
    add("-echo", "--echo", action="store_true", help="print each command before its answer")
    add("-debug", "--debug", action="store_true", help="log more")
    add("-version", "--version", action="store_true", help="print the version")
    add("-force", "--force", action="store_true", help="also touch what the daemon of this node manages")


def check_words(words: Sequence[str]) -> None:
    """A mistyped flag of one dash is an error, never -c with the rest of the word as its commands."""
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.lstrip("-").partition("=")
        if word.startswith("-") and not word.startswith("--") and name not in (*_VALUED, *_SWITCHES, *_HELP, ""):
            hint = checking.did_you_mean(name, [*_VALUED, *_SWITCHES])
            raise Failure("memtierd", f"unknown flag {word}", hint=hint, code=Exit.USAGE)
        if word.startswith("-") and not equals and name in _VALUED:
            next(rest, "")


def run(args: argparse.Namespace) -> int:
    if args.version:
        from reconciler.versions import version

        render.show([f"memtierd command line of ebbtide {version()}"])
        return Exit.FINE
    plan = _plan(args)
    if os.geteuid() != 0:
        raise Failure("memtierd", "must run as root", hint="try: sudo ebbtide memtierd", code=Exit.PRIVILEGE)
    _log_to(args.l, debug=args.debug)
    _be_called_memtierd()
    try:
        with _signals():
            return _serve(args, plan)
    except Stopped as stopped:
        return Exit.INTERRUPTED if stopped.number == signal.SIGINT else Exit.FINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the command line asks for, read and checked before anything starts."""

    config: "EngineConfig | None"
    lines: tuple[str, ...]  # of -c and -f
    listens: bool  # to standard input


def _plan(args: argparse.Namespace) -> Plan:
    if args.config is None and args.c is None and args.f is None and not args.prompt:
        hint = "give -prompt, -config FILE, -c COMMANDS or -f FILE"
        raise Failure("memtierd", "nothing to do", hint=hint, code=Exit.USAGE)
    said = () if args.c in (None, "", "-") else args.c.splitlines()
    lines = (*said, *(_text(args.f).splitlines() if args.f is not None else ()))
    asked_elsewhere = args.c is not None or args.f is not None
    listens = args.prompt or args.c == "-" or (args.config is not None and not asked_elsewhere)
    return Plan(config=None if args.config is None else configuration(args.config), lines=lines, listens=listens)


def configuration(path: str) -> "EngineConfig":
    """A configuration file of memtierd's; a Failure that shows everything that is wrong with it."""
    from reconciler import documents
    from reconciler.memtierd import config, own
    from reconciler.model import Severity

    document = documents.parse(_text(path), path)
    if isinstance(document, tuple):
        raise _wrong(path, document)
    read = config.read(document, "", document.value, os.sysconf("SC_PAGE_SIZE"), programs=_of_root(path))
    if read.config is None:
        raise _wrong(path, read.problems)
    _show([each for each in read.problems if each.severity is not Severity.NOTE])
    if nobody := own.unwatched(read.config):
        raise Failure(path, nobody, hint="add pidwatcher: {name: cgroups, config: {cgroups: [DIRECTORY]}}")
    return read.config


def _of_root(path: str) -> bool:
    """Whether nobody but root can have written it: else its routines must not start programs as root."""
    found = os.stat(path)
    return found.st_uid == 0 and not found.st_mode & 0o022


def _wrong(path: str, problems: Sequence["Problem"]) -> Failure:
    _show(problems)
    return Failure(path, "the configuration is wrong, and nothing was started")


def _show(problems: Sequence["Problem"]) -> None:
    render.show(render.problems(render.page(stream=sys.stderr), problems), stream=sys.stderr)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeError as error:
        raise Failure(path, "is no UTF-8 text") from error
    except OSError as error:
        raise Failure(path, error.strerror or str(error)) from error


# -- the running process ---------------------------------------------------------------------------------------------


def _serve(args: argparse.Namespace, plan: Plan) -> int:
    from reconciler.cli import talk
    from reconciler.memtierd.console import Console

    with _host(args) as host:
        if plan.config is not None:
            try:
                host.start("policy", plan.config)
            except ValueError as error:
                raise Failure(args.config, str(error)) from error
        talking = talk.Talk(Console(host).run)
        talking.read(plan.lines, echo=args.echo)
        if not talking.over and plan.listens:
            _listen(args, talking)
        if plan.config is not None and not talking.over and not (plan.listens and (args.prompt or talking.heard)):
            _wait_for_a_signal()
        return Exit.FOUND if talking.failed else Exit.FINE


def _wait_for_a_signal() -> NoReturn:
    """In short waits: a signal that comes just before the thread blocks does not end that wait, only the next one."""
    never = threading.Event()
    while True:
        never.wait(_SIGNAL_S)


def _listen(args: argparse.Namespace, talking: "Talk") -> None:
    from reconciler.cli import talk

    if sys.stdin is None or _is_nothing(sys.stdin):
        return
    if talk.at_terminal(sys.stdin):
        failed = talking.failed
        talking.listen(talk.history_file(dict(os.environ)))
        talking.failed = failed
    elif args.prompt:
        talking.read(_lines(sys.stdin), prompt=True, echo=args.echo)
    elif not sys.stdin.isatty():
        talking.echoed(_lines(sys.stdin))


def _is_nothing(stream: TextIO) -> bool:
    """Whether it is /dev/null, as services have it."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))
    except OSError:
        return True


def _lines(stream: TextIO) -> Iterator[str]:
    """As they come; text that is no UTF-8 does not end us."""
    stream.reconfigure(errors="replace")  # type: ignore[attr-defined] # sys.stdin is a TextIOWrapper
    return iter(stream.readline, "")


@contextmanager
def _host(args: argparse.Namespace) -> Iterator["Own"]:
    from reconciler.engine import kdamond_folders
    from reconciler.memtierd.own import Own
    from sysfs import probe
    from sysfs.tree import Tree

    tree = Tree(args.root)
    with kdamond_folders.own(tree, args.run_dir) as kdamonds:
        host = Own(tree, probe.features(tree), _say, _beside(args, tree), kdamonds=kdamonds)
        try:
            yield host
        finally:
            for number in _ENDING:  # what is given back is given back completely
                signal.signal(number, signal.SIG_IGN)
            host.close()


def _beside(args: argparse.Namespace, tree: "Tree") -> "Beside":
    from reconciler.cli.beside import Neighbour
    from reconciler.memtierd import own

    if args.force:
        return own.NOBODY
    neighbour = Neighbour(options=options.of(args), tree=tree)
    return own.Beside(taken=neighbour.taken, marking=neighbour.marking)


def _say(text: str) -> None:
    """What routines and watchers print between answers."""
    render.show(text.splitlines())


def _be_called_memtierd() -> None:
    from sysfs import title

    words = sys.argv[sys.argv.index("memtierd") + 1 :] if "memtierd" in sys.argv else []
    title.show(["memtierd", *words])


class _Words(logging.Formatter):
    """`LEVEL: message`, as memtierd's log has it."""

    def format(self, record: logging.LogRecord) -> str:
        name = "WARN" if record.levelno == logging.WARNING else record.levelname
        return f"{name}: {super().format(record)}"


def _log_to(target: str, *, debug: bool) -> None:
    streams = {"stderr": sys.stderr, "stdout": sys.stdout, "-": sys.stdout}
    try:
        handler = logging.StreamHandler(streams[target]) if target in streams else logging.FileHandler(target)
    except OSError as error:
        raise Failure(target, error.strerror or str(error), hint="-l FILE, stdout or stderr") from error
    handler.setFormatter(_Words())
    logging.getLogger().handlers[:] = [handler]
    for name in ("ebbtide", "memtierd"):
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)


@contextmanager
def _signals() -> Iterator[None]:
    """Signals end what the main thread does; afterwards they do what they did before."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise Stopped(number)

    before = [(number, signal.signal(number, stop)) for number in _ENDING]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
