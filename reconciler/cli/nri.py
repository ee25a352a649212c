"""`ebbtide nri`: the plugin that containerd or CRI-O talks to.

Started by a person or a service manager it connects to the runtime's socket, for ever again. Started by the runtime
(three NRI_PLUGIN_ variables, nothing else) it uses the socket it was given, and ends with it.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import functools
import logging
import math
import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self, TextIO

from nri import endless, link, mux, outlook, session
from nri.adjust import View
from nri.background import Background, Guard
from nri.changes import Changes
from nri.plugin import Plugin
from nri.store import Store
from reconciler import classfiles, inventory, lastgood, logfmt, logs, records, systemd
from reconciler.cli import options
from reconciler.cli.failure import Exit, Failure
from sysfs import boot, process
from sysfs.tree import Tree

log = logging.getLogger("ebbtide.nri")

SOCKET = "/var/run/nri/nri.sock"
LOCK_SECONDS = 3.0
_NAME = re.compile(r"[A-Za-z0-9_.+-]+\Z")
_INDEX = re.compile(r"[0-9]{2}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    name: str
    index: str
    descriptor: int | None = None  # of the socket that the runtime gave us


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without -config, classes come from the drop-in directories alone. Each -v says more: decisions, messages."
    )
    parser.add_argument("-config", "--config", metavar="FILE", help="class file that wins over all drop-ins")
    parser.add_argument("-idx", "--idx", metavar="NN", default="10", help="two digits: order among plugins (10)")
    parser.add_argument("-name", "--name", default="ebbtide", help="what the runtime calls this plugin (ebbtide)")
    parser.add_argument("-v", dest="verbose", action="count", default=0, help="log decisions; -vv: every message")
    parser.add_argument("--socket", metavar="PATH", default=SOCKET, help=f"the runtime's ({SOCKET})")


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    identity = identify(args, os.environ)
    _start_log(args.verbose, common.state_dir)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # classes are read again all the time
    process.name_ourselves("ebbtide-nri")
    with logs.behind_a_queue(), _lock(common.state_dir), Served(common, identity, args.config) as served:
        if identity.descriptor is not None:
            return served.once(identity.descriptor)
        return served.endlessly(args.socket)


def identify(args: argparse.Namespace, environment: Mapping[str, str]) -> Identity:
    """Who we are: what the runtime says when it started us, else the command line."""
    given = environment.get("NRI_PLUGIN_SOCKET", "")
    name = environment.get("NRI_PLUGIN_NAME", args.name) if given else args.name
    index = environment.get("NRI_PLUGIN_IDX", args.idx) if given else args.idx
    if given and not given.isdigit():
        raise Failure("nri", f"NRI_PLUGIN_SOCKET is {given!r}, not the number of a descriptor", code=Exit.USAGE)
    if not _INDEX.match(index):
        raise Failure("nri", f"-idx {index!r} is not two digits", hint="for example -idx 10", code=Exit.USAGE)
    if not _NAME.match(name):
        raise Failure("nri", f"-name {name!r} has more than letters, digits and . _ + -", code=Exit.USAGE)
    return Identity(name=name, index=index, descriptor=int(given) if given else None)


class Served:
    """Everything wired together."""

    def __init__(self, common: options.Options, identity: Identity, config: str | None) -> None:
        self._identity = identity
        self._config = config
        self._complaint = ""
        self._manager = systemd.ServiceManager()
        self._watched = systemd.watchdog_seconds() is not None
        tree = Tree(common.root)
        boot_id = functools.partial(boot.boot_id, tree)
        self._store = Store(common.state_dir, boot_id, name=identity.name, index=identity.index)
        self._publish_config(at_start=True)
        dirs = common.config_dirs or classfiles.DEFAULT_DIRECTORIES
        places = outlook.Places(tree=tree, state_dir=common.state_dir, run_dir=common.run_dir)
        remembered = lastgood.load(Path(common.state_dir))  # so that a restart beside a broken file changes nothing
        self._outlook = outlook.Outlook(
            places, outlook.class_reader(lambda: classfiles.installed(common.state_dir, dirs, boot_id()), remembered)
        )
        self._background = Background(self._store.perform, self._refresh)
        self._guard = Guard("tick")
        Guard("look").attempt(self._outlook.refresh)  # what is slow is done before the runtime waits for us
        self._table = self._outlook.view.table
        known = [one for one in records.read_all(common.state_dir, boot_id())[0] if one.writer == inventory.WRITER]
        self._plugin = Plugin(tree, self._look, known)

    def __enter__(self) -> Self:
        self._background.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._background.__exit__()

    def once(self, descriptor: int) -> int:
        """The runtime started us, and we end with it; only then does it hand us a configuration."""
        # Hosts before NRI 0.7 never synchronize what they have started.
        current = self._session(socket.socket(fileno=descriptor), synchronize_seconds=math.inf)
        self._manager.ready()
        try:
            current.run()
        except link.Closed:
            log.info("event=ended reason=runtime-closed")
            return Exit.FINE
        except (session.Refused, mux.Garbage, OSError) as error:
            log.error(logfmt.line("event=ended", reason=error))  # noqa: TRY400  a trace says no more
            raise Failure("nri", str(error)) from error
        finally:
            current.close()

    def endlessly(self, path: str) -> NoReturn:
        """Connect, serve, and connect again."""
        waiting = endless.Waiting(sleep=time.sleep, random=random.random, tick=self._tick)
        self._manager.ready()
        endless.run(lambda: self._session(session.connect(path)), waiting)

    def _session(
        self, connection: socket.socket, synchronize_seconds: float = session.SYNCHRONIZE_SECONDS
    ) -> session.Session:
        deeds = session.Deeds(perform=self._perform, tick=self._tick, synchronize_seconds=synchronize_seconds)
        name, index = self._identity.name, self._identity.index
        return session.Session(link.Link(connection), self._plugin, deeds, name=name, index=index)

    def _perform(self, changes: Changes) -> None:
        """A file that was named on the command line counts, whatever the runtime says."""
        self._background.submit(dataclasses.replace(changes, publish=None) if self._config else changes)

    def _look(self) -> View:
        """Today's view, or one that was today's a moment ago."""
        self._background.catch_up()
        return self._outlook.view

    def _refresh(self) -> None:
        """In the background."""
        self._publish_config()
        self._outlook.refresh()

    def _tick(self) -> None:
        self._guard.attempt(self._live)

    def _live(self) -> None:
        if self._watched:
            self._manager.alive()
        if self._outlook.view.table is not self._table:
            self._table = self._outlook.view.table
            self._background.submit(self._plugin.looked_again())

    def _publish_config(self, *, at_start: bool = False) -> None:
        """A file that is wrong at the start is a mistake to correct now; later, the last good text stays.

        Read as class files are, so that what others could have written never becomes what root has written.
        """
        if not self._config:
            return
        (file,) = classfiles.read((), (self._config,))
        if file.problem is None:
            self._complaint = ""
            self._store.perform(Changes(publish=file.text, of_root=True))
        elif at_start:
            raise Failure(self._config, file.problem.message, hint=file.problem.hint, code=Exit.CONFIGURATION)
        elif not os.path.exists(self._config):
            self._store.perform(Changes(publish=""))
            self._complain("it is gone, and so are its classes")
        else:
            self._complain(file.problem.message)

    def _complain(self, message: str) -> None:
        if message != self._complaint:
            log.warning(logfmt.line("event=config-unusable", path=self._config, message=message))
        self._complaint = message


def _start_log(verbose: int, state_dir: str) -> None:
    """A runtime starts its plugins with everything on /dev/null."""
    levels = {
        "": logging.WARNING,
        "ebbtide": logging.INFO,
        "ebbtide.nri.decisions": logging.INFO if verbose >= 1 else logging.WARNING,
        "ebbtide.nri.messages": logging.INFO if verbose >= 2 else logging.WARNING,
    }
    if os.fstat(2).st_rdev == os.stat(os.devnull).st_rdev:
        logs.start_without_terminal(levels, f"{state_dir}/nri.log")
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        logs.show_stacks(open(f"{state_dir}/nri.stacks", "a"))  # noqa: SIM115  until the end
    else:
        logs.start(levels)
        logs.show_stacks()


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(Exit.FINE if number == signal.SIGTERM else 128 + number)


@contextlib.contextmanager
def _lock(state_dir: str) -> Iterator[None]:
    """One plugin for a state directory. One that the runtime's restart has just made superfluous may take a moment."""
    try:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        descriptor = os.open(f"{state_dir}/nri.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        code = Exit.PRIVILEGE if isinstance(error, PermissionError) else Exit.FOUND
        raise Failure(state_dir, error.strerror or str(error), hint="try as root", code=code) from error
    with open(descriptor, "w") as file:
        _wait_for(file)
        yield


def _wait_for(file: TextIO) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                hint = "both would set the same values, and the runtime would refuse the containers: stop one"
                raise Failure("nri", "another `ebbtide nri` uses this state directory", hint=hint) from error
        time.sleep(0.1)
