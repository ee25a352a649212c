"""The connection that is made again and again, and the command around it."""

import argparse
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from nri import api_pb2 as api
from nri import endless, link, session
from reconciler import safety
from reconciler.cli import main as cli
from reconciler.cli import nri as verb
from reconciler.cli.failure import Exit, Failure
from sysfs import process as facts
from sysfs.tree import Tree
from tests.nri.conftest import Place
from tests.nri.host import GENEROUS, Host, Listener, container, pod

ROOT = Path(__file__).parents[2]
IDLE_POD = pod({"class.memtierd.nri.io": "idle"})
CLASSES = "classes:\n  - name: idle\n    allowswap: true\n"


class Enough(BaseException):
    """How a test ends what is endless."""


def test_it_comes_back_after_every_kind_of_end(tmp_path: Path, place: Place) -> None:
    slept: list[float] = []
    path = str(tmp_path / "nri.sock")
    hosts: list[Host] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 12:
            raise Enough

    listening = threading.Event()

    def end_differently() -> None:
        with Listener(path) as listener:
            listening.set()
            hosts.append(listener.host())
            hosts[-1].handshake()
            hosts[-1].close()
            hosts.append(listener.host())
            hosts[-1].registration()
            hosts[-1].refuse("no")
            assert hosts[-1].closed()
            hosts.append(listener.host())
            hosts[-1].handshake()
            hosts[-1].send_raw(b"\xff" * 100)
            assert hosts[-1].closed()

    runtime = threading.Thread(target=end_differently, daemon=True)
    runtime.start()
    assert listening.wait(GENEROUS)
    plugin = place.plugin()

    def open_session() -> session.Session:
        deeds = session.Deeds(perform=lambda _: None, tick=place.tick)
        return session.Session(link.Link(session.connect(path)), plugin, deeds, name="x", index="10")

    with pytest.raises(Enough):
        endless.run(open_session, endless.Waiting(sleep=sleep, random=lambda: 1.0, tick=place.tick))
    runtime.join(GENEROUS)

    assert len(hosts) == 3
    assert slept[0] == session.FIRST_DELAY  # after a good connection
    assert max(slept) == session.TICK_SECONDS  # longer waits come in steps


def test_delays_grow_and_are_spread() -> None:
    at_most = [session.delay(attempt, 1.0) for attempt in range(12)]
    at_least = [session.delay(attempt, 0.0) for attempt in range(12)]

    assert at_most == sorted(at_most)
    assert (at_most[0], at_most[-1]) == (session.FIRST_DELAY, session.LONGEST_DELAY)
    assert at_least == [one / 2 for one in at_most]


def test_only_changes_are_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    steps = iter(range(30))

    def sleep(_: float) -> None:
        if next(steps) == 29:
            raise Enough

    def no_runtime() -> session.Session:
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(Enough):
        endless.run(no_runtime, endless.Waiting(sleep=sleep, random=random.random, tick=place.tick))

    assert [record.getMessage() for record in caplog.records] == [
        'event=disconnected reason="cannot connect: Connection refused"'
    ]


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with cgroup v2, as far as the plugin looks."""
    (tmp_path / "root/proc/self").mkdir(parents=True)
    (tmp_path / "root/proc/1").mkdir(parents=True)
    (tmp_path / "root/proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "root/proc/sys/kernel/random/boot_id").write_text("this-boot\n")
    (tmp_path / "root/proc/sys/kernel/osrelease").write_text("6.12.0\n")
    mounts = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "root/proc/1/mountinfo").write_text(mounts)
    top = tmp_path / "root/sys/fs/cgroup"
    (top / "system.slice").mkdir(parents=True)
    (top / "cgroup.controllers").write_text("cpu memory\n")
    for name in ("memory.max", "memory.high", "memory.swap.max", "cgroup.procs"):
        (top / "system.slice" / name).write_text("max\n")
    (tmp_path / "conf.d").mkdir(mode=0o755)
    (tmp_path / "conf.d/10-idle.yaml").write_text(CLASSES)
    return tmp_path


def arguments(root: Path, *words: str) -> list[str]:
    common = ["--root", str(root / "root"), "--state-dir", str(root / "state"), "--run-dir", str(root / "run")]
    return ["nri", *common, "--config-dir", str(root / "conf.d"), *words]


def environment(**variables: str) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), **variables}


@pytest.fixture
def listener(root: Path) -> Iterator[Listener]:
    with Listener(str(root / "nri.sock")) as listener:
        yield listener


Started = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def command(root: Path) -> Iterator[Started]:
    running: list[subprocess.Popen[str]] = []

    def start(
        *words: str, variables: dict[str, str] | None = None, descriptors: Sequence[int] = ()
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", *(words or arguments(root, "--socket", str(root / "nri.sock")))],
            env=environment(**variables or {}),
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def eventually(check: Callable[[], bool]) -> None:
    """The plugin writes and looks beside its answers."""
    deadline, pause = time.monotonic() + GENEROUS, threading.Event()
    while not check():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def record(root: Path, ident: str) -> dict[str, object]:
    path = root / "state/workloads.d" / f"{ident}.json"
    eventually(path.exists)
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def creates(host: Host, swap: str) -> Callable[[], bool]:
    """Whether a new container gets this; under load a changed file may count for the next but one."""
    numbers = itertools.count()

    def check() -> bool:
        return host.create(IDLE_POD, container(f"f00d{next(numbers)}", IDLE_POD)) == {"memory.swap.max": swap}

    return check


def test_the_whole_command_against_a_runtime_that_restarts(root: Path, listener: Listener, command: Started) -> None:
    process = command(*arguments(root, "--socket", listener.path, "-idx", "42", "-name", "memd", "-vv"))
    host = listener.host()
    registration = host.registration()
    assert (registration.plugin_idx, registration.plugin_name) == ("42", "memd")
    assert "Ebbtide's plugin" in safety.refusal(facts.facts(Tree(), process.pid), ())
    host.accept()
    host.call("Configure", api.ConfigureRequest())
    host.call("Synchronize", api.SynchronizeRequest())

    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {"memory.swap.max": "max"}
    assert (record(root, "f00d")["boot_id"], record(root, "f00d")["writer"]) == ("this-boot", "nri")

    host.close()
    again = listener.host()
    again.handshake((IDLE_POD, container("beef", IDLE_POD)))
    eventually(lambda: os.listdir(root / "state/workloads.d") == ["beef.json"])

    process.send_signal(signal.SIGTERM)
    log = process.communicate(timeout=GENEROUS)[1]
    assert process.returncode == 0
    assert 'event=create id=f00d name=default/web-0/c0 class=idle unified="swap.max=max"' in log
    assert "event=received call=CreateContainer" in log


def put(path: Path, text: str) -> None:
    """In one step: a reader must not meet the empty file of a moment, which is a mask."""
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text)
    scratch.rename(path)


def test_a_class_file_that_changes_counts_for_the_next_container(
    root: Path, listener: Listener, command: Started
) -> None:
    command()
    host = listener.host()
    host.handshake()
    put(root / "conf.d/20-more.yaml", "classes: [{name: idle, allowswap: false}]\n")

    eventually(creates(host, "0"))

    put(root / "conf.d/20-more.yaml", "classes: [{name: idle, allowswap: perhaps}]\n")
    assert host.create(IDLE_POD, container("beef", IDLE_POD)) == {"memory.swap.max": "0"}


def test_a_named_file_wins_and_is_published(root: Path, listener: Listener, command: Started) -> None:
    named = root / "mine.yaml"
    named.write_text("classes: [{name: idle, allowswap: false}]\n")
    command(*arguments(root, "--socket", listener.path, "-config", str(named)))
    host = listener.host()
    host.handshake()

    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {"memory.swap.max": "0"}
    published = root / "state/classes.d/zz-nri-10-ebbtide.yaml"
    assert published.read_text().startswith(named.read_text())

    named.unlink()
    eventually(lambda: not published.exists())
    eventually(creates(host, "max"))


def test_marks_that_cannot_be_read_end_nothing(root: Path, listener: Listener, command: Started) -> None:
    """A full table of files, an input error: the plugin goes on with what it knew."""
    process = command()
    host = listener.host()
    host.handshake()
    (root / "state/released.d").write_text("in the way")
    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {"memory.swap.max": "max"}
    host.close()

    again = listener.host()
    again.handshake((IDLE_POD, container("beef", IDLE_POD)))
    assert again.create(IDLE_POD, container("f00d", IDLE_POD)) == {"memory.swap.max": "max"}

    process.send_signal(signal.SIGTERM)
    log = process.communicate(timeout=GENEROUS)[1]
    assert (process.returncode, log.count("event=look-failed")) == (0, 1)


def test_a_named_file_wins_whatever_the_others_are_called(root: Path, listener: Listener, command: Started) -> None:
    put(root / "conf.d/zz-site.yaml", "classes: [{name: idle, allowswap: true}]\n")
    (root / "mine.yaml").write_text("classes: [{name: idle, allowswap: false}]\n")
    command(*arguments(root, "--socket", listener.path, "-config", str(root / "mine.yaml")))
    host = listener.host()
    host.handshake()

    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {"memory.swap.max": "0"}


def test_a_restart_beside_a_broken_file_changes_nothing(root: Path, listener: Listener, command: Started) -> None:
    """The daemon remembers the last good version of each file; the plugin reads what it remembers."""
    path = root / "conf.d/10-idle.yaml"
    (root / "state").mkdir()
    (root / "state/lastgood.json").write_text(json.dumps({str(path): CLASSES}))
    path.write_text("classes: [\n")
    command()
    host = listener.host()
    host.handshake()

    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {"memory.swap.max": "max"}


def test_started_by_the_runtime(root: Path, command: Started) -> None:
    ours, theirs = socket.socketpair()
    identity = {"NRI_PLUGIN_NAME": "ebbtide", "NRI_PLUGIN_IDX": "42", "NRI_PLUGIN_SOCKET": str(ours.fileno())}
    process = command(*arguments(root), variables=identity, descriptors=[ours.fileno()])
    ours.close()
    host = Host(theirs)

    assert host.registration().plugin_idx == "42"
    host.accept()
    host.call("Configure", api.ConfigureRequest(config="classes: [{name: idle, allowswap: false}]\n"))
    eventually(creates(host, "0"))
    host.close()

    process.communicate(timeout=GENEROUS)
    assert process.returncode == 0


def test_the_runtimes_way_of_starting_needs_no_arguments() -> None:
    assert cli._with_verb([], {"NRI_PLUGIN_NAME": "ebbtide"}) == ["nri"]


def test_one_plugin_for_a_state_directory(root: Path, listener: Listener, command: Started) -> None:
    command()
    listener.host().registration()

    second = command()
    message = second.communicate(timeout=GENEROUS)[1]

    assert second.returncode == Exit.FOUND
    assert "another `ebbtide nri` uses this state directory" in message


def parsed(*words: str) -> argparse.Namespace:
    return cli.build_parser().parse_args(["nri", *words])


WRONG = {
    "three digits": (["-idx", "100"], {}),
    "one digit": (["-idx", "1"], {}),
    "a name with a blank": (["-name", "a b"], {}),
    "no descriptor": ([], {"NRI_PLUGIN_SOCKET": "x", "NRI_PLUGIN_IDX": "10", "NRI_PLUGIN_NAME": "x"}),
}


@pytest.mark.parametrize(("words", "variables"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_said(words: list[str], variables: dict[str, str]) -> None:
    with pytest.raises(Failure) as failure:
        verb.identify(parsed(*words), variables)

    assert failure.value.code is Exit.USAGE


def test_flags_of_the_original_plugin() -> None:
    args = parsed("-config", "memtierd.conf", "-idx", "40", "-vv")

    assert (args.config, args.idx, args.verbose) == ("memtierd.conf", "40", 2)


def test_a_configuration_that_is_missing_or_not_ours_is_an_error(root: Path, command: Started) -> None:
    for name, mode in (("missing.yaml", None), ("open.yaml", 0o666)):
        if mode is not None:
            (root / name).write_text(CLASSES)
            (root / name).chmod(mode)
        process = command(*arguments(root, "-config", str(root / name)))
        message = process.communicate(timeout=GENEROUS)[1]

        assert process.returncode == Exit.CONFIGURATION
        assert name in message
        assert not (root / "state/classes.d").exists()


def test_the_plugin_stays_small() -> None:
    """It must answer within milliseconds on a node without memory, so it loads no more than it needs."""
    heavy = "[name for name in ('numpy', 'grpc', 'watchdog') if name in sys.modules]"
    code = f"import sys, reconciler.cli.nri; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
