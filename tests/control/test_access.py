"""Who may do what on the socket: real sockets, real users (tests that change users need root)."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.control import client, door, peers, server, wire
from reconciler.control.answering import Answers, Wish
from reconciler.control.feed import Feed
from reconciler.report import Transition

ROOT = Path(__file__).parents[2]
GROUP = 54321
STRANGER = 65533
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


@dataclass
class Asked:
    """What the servers passed on."""

    deeds: list[str] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    feed: Feed = field(default_factory=Feed)

    def answers(self) -> Answers:
        return Answers(
            status=lambda: {"state": "running"},
            held=lambda: {42: "a"},
            wake=self.deeds.append,
            pause=lambda: self.deeds.append("pause"),
            release=lambda ids: self.deeds.append(f"release {ids}"),
            change=self._change,
            transitions=self.feed,
        )

    def _change(self, wish: Wish) -> object:
        self.wishes.append(wish)
        return {}


@dataclass
class Place:
    path: Path
    asked: Asked

    def as_user(self, uid: int, groups: list[int], *methods: str) -> dict[str, str]:
        command = [sys.executable, "tests/control/other_user.py", str(self.path), str(uid), ",".join(map(str, groups))]
        done = subprocess.run([*command, *methods], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        return {line.split()[0]: line.partition(" ")[2] for line in done.stdout.splitlines()}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[[int | None], Place]]:
    for folder in (tmp_path, *tmp_path.parents):  # pytest's folders are for their owner alone
        if folder != Path("/") and folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    running = []

    def start(group: int | None) -> Place:
        asked = Asked()
        asked.feed.publish(Transition(kind="state", after="converged"))
        running.append(server.serve(str(tmp_path / "control.sock"), asked.answers(), group))
        return Place(tmp_path / "control.sock", asked)

    yield start
    for each in running:
        each.close()


def test_without_a_group_it_is_for_its_owner_alone(place: Callable[[int | None], Place]) -> None:
    assert stat.S_IMODE(place(None).path.stat().st_mode) == 0o600


@needs_root
def test_without_a_group_nobody_else_gets_in(place: Callable[[int | None], Place]) -> None:
    said = place(None).as_user(STRANGER, [STRANGER, 0], "status", "pause")

    assert {method: text.split()[0] for method, text in said.items()} == {"status": "Forbidden", "pause": "Forbidden"}


@needs_root
@pytest.mark.parametrize("groups", [[GROUP], [STRANGER, GROUP], [STRANGER, 7, GROUP, 9]])
def test_the_group_looks_and_changes_nothing(place: Callable[[int | None], Place], groups: list[int]) -> None:
    here = place(GROUP)
    changing = ("wake", "set", "pause", "release", "prompt")

    said = here.as_user(STRANGER, groups, "status", "held", "watch", *changing)

    assert (said["status"], said["held"], said["watch"]) == ("fine", "fine", "fine")
    assert {said[method] for method in changing} == {"Forbidden only root changes things; the socket's group may look"}
    assert (here.asked.deeds, here.asked.wishes) == ([], [])


@needs_root
def test_strangers_stay_out_whatever_the_sockets_mode(place: Callable[[int | None], Place]) -> None:
    here = place(GROUP)
    assert here.as_user(STRANGER, [STRANGER], "status")["status"].startswith("Forbidden")

    here.path.chmod(0o666)

    assert here.as_user(STRANGER, [STRANGER], "status")["status"].startswith("Unavailable")
    assert here.as_user(STRANGER, [GROUP], "status")["status"] == "fine"


@needs_root
def test_nobody_gets_behind_the_door(place: Callable[[int | None], Place]) -> None:
    here = place(GROUP)
    behind = next(one for one in here.path.parent.iterdir() if one.is_dir())

    assert stat.S_IMODE(behind.stat().st_mode) == 0o700
    assert Place(behind / "w", here.asked).as_user(STRANGER, [GROUP], "pause")["pause"].startswith("Forbidden")


def test_root_does_everything_and_is_named(place: Callable[[int | None], Place]) -> None:
    here = place(GROUP if os.geteuid() == 0 else None)

    with client.Client(str(here.path)) as ends:
        ends.pause()
        ends.wake("me")
        ends.release(["a"])
        ends.change("memcg", '{"swap":true}', cgroup="/a", persist=True)

    assert here.asked.deeds == ["pause", "me", "release ('a',)"]
    wish = here.asked.wishes[0]
    assert (wish.section, wish.whom.cgroup, wish.json, wish.persist) == ("memcg", "/a", '{"swap":true}', True)
    assert wish.who == f"uid {os.geteuid()}, pid {os.getpid()}"


@needs_root
def test_one_users_connections_leave_room_for_root(place: Callable[[int | None], Place]) -> None:
    here = place(GROUP)
    opener = (
        "import os, socket, sys, time\n"
        f"os.setgroups([{GROUP}]); os.setresgid(7, 7, 7); os.setresuid(8, 8, 8)\n"
        "ends = [socket.socket(socket.AF_UNIX) for _ in range(20)]\n"
        f"for each in ends: each.connect({str(here.path)!r})\n"
        "gone = 0\n"
        "for each in ends:\n"
        "    each.settimeout(1)\n"
        "    try: gone += not each.recv(1)\n"  # a server speaks first, with its HTTP/2 settings
        "    except ConnectionResetError: gone += 1\n"
        "    except TimeoutError: pass\n"
        "print(gone, flush=True)\n"
        "sys.stdin.read()\n"
    )
    crowd = subprocess.Popen(
        [sys.executable, "-c", opener], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert crowd.stdout is not None
    assert int(crowd.stdout.readline()) == 20 - door.MOST_OF_ONE
    try:
        with client.Client(str(here.path)) as ends:
            assert ends.status() == {"state": "running"}
        assert here.as_user(STRANGER, [GROUP], "status")["status"] == "fine"
    finally:
        crowd.communicate("")


def test_there_are_only_so_many_clients(place: Callable[[int | None], Place]) -> None:
    here = place(None)
    ends = [socket.socket(socket.AF_UNIX) for _ in range(door.MOST_CLIENTS + 1)]
    for each in ends:
        each.settimeout(60)
        each.connect(str(here.path))
    assert [bool(each.recv(1)) for each in ends] == [True] * door.MOST_CLIENTS + [False]

    for each in ends:
        each.close()

    with client.Client(str(here.path), timeout=60) as one:
        assert _until_fine(one) == {"state": "running"}


def _until_fine(ends: client.Client) -> object:
    """The door notices in a moment that the others have left."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ends.status()
        except client.Unavailable:
            assert time.monotonic() < deadline


def test_rights() -> None:
    me = os.geteuid()
    table = [
        (peers.Peer(uid=0), None, "write"),
        (peers.Peer(uid=me), GROUP, "write"),
        (peers.Peer(uid=STRANGER, groups=frozenset({GROUP})), GROUP, "read"),
        (peers.Peer(uid=STRANGER, groups=frozenset({GROUP})), None, "none"),
        (peers.Peer(uid=STRANGER, groups=frozenset({0})), GROUP, "none"),
    ]
    assert [peers.right(peer, group) for peer, group, _ in table] == [wanted for _, _, wanted in table]


def test_the_kernel_says_who_it_is() -> None:
    one, other = socket.socketpair()
    with one, other:
        peer = peers.of(one)

    assert (peer.uid, peer.pid) == (os.geteuid(), os.getpid())
    assert peer.groups == {os.getegid(), *os.getgroups()}


def test_a_request_is_small(place: Callable[[int | None], Place]) -> None:
    here = place(None)

    with client.Client(str(here.path)) as ends, pytest.raises(client.Busy, match="larger than max"):
        ends.change("memcg", "x" * (wire.MOST_ASKED + 1))


def test_what_a_killed_daemon_left_is_swept_and_what_lives_is_not(place: Callable[[int | None], Place]) -> None:
    here = place(None)
    dead = here.path.parent / ".cabcdefgh"
    dead.mkdir()
    with socket.socket(socket.AF_UNIX) as ends:
        ends.bind(str(dead / "w"))

    place(None)

    assert not dead.exists()
    assert len([one for one in here.path.parent.iterdir() if one.is_dir()]) == 2
