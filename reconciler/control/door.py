"""The door of the control socket: looks at who comes, and passes their bytes on to a gRPC server that fits.

gRPC in Python cannot say who is at the other end of a unix socket. So this door accepts, asks the kernel, and connects
to one of two private sockets that only we can reach: that of the server which answers everything, or of the one which
only shows. Each connection to them has a name of its own (the kernel's choice, unix(7) "autobind"), by which a server
knows who asks. The door also counts: a user's connections are few, root always gets in, and who does not take what was
asked for is dropped. One thread does all of it, and holds at most one chunk each way for each connection.
"""

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler import logfmt
from reconciler.control import peers
from reconciler.control.peers import Peer, Right

log = logging.getLogger("ebbtide.control")

MOST_CLIENTS = 32
MOST_OTHERS = 16  # not root
MOST_OF_ONE = 8  # of one user who is not root
STALL_SECONDS = 30.0
_CHUNK = 1 << 16
_TICK_SECONDS = 5.0
_REST_SECONDS = 1.0  # without descriptors
_QUIET_SECONDS = 60.0  # between log lines about people who are turned away
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Where the servers listen, and whose members may look (None: nobody's)."""

    write: str
    read: str = ""
    group: int | None = None


@dataclass(slots=True)
class _Flow:
    """Bytes one way; nothing more is read before what was read is written."""

    source: socket.socket
    sink: socket.socket
    waiting: memoryview = field(default_factory=lambda: memoryview(b""))
    over: bool = False
    since: float = 0.0  # of the last byte written

    def move(self, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            if not self.waiting and not self.over:
                self.waiting, self.since = memoryview(self.source.recv(_CHUNK)), now
                self.over = not self.waiting
        with contextlib.suppress(BlockingIOError):
            while self.waiting:
                self.waiting, self.since = self.waiting[self.sink.send(self.waiting) :], now


@dataclass(slots=True, eq=False)
class _Pair:
    """A client, and our connection to a server on its behalf."""

    client: socket.socket
    server: socket.socket
    name: str
    peer: Peer
    up: _Flow = field(init=False)
    down: _Flow = field(init=False)

    def __post_init__(self) -> None:
        self.up, self.down = _Flow(self.client, self.server), _Flow(self.server, self.client)

    def wanted(self, end: socket.socket) -> int:
        """The events that its next move waits for, at this end."""
        coming, going = (self.up, self.down) if end is self.client else (self.down, self.up)
        return (0 if coming.waiting or coming.over else _READ) | (_WRITE if going.waiting else 0)

    def move(self, now: float) -> bool:
        """Whether it goes on: it ends when the client ends, or when the server has ended and all is delivered."""
        try:
            self.up.move(now)
            self.down.move(now)
        except OSError:
            return False
        return not self.up.over and not (self.down.over and not self.down.waiting)

    def stalled(self, now: float) -> bool:
        return bool(self.down.waiting) and now - self.down.since > STALL_SECONDS

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Door:
    """Lets people in until it is closed. `listener`: a listening unix socket, which it closes."""

    def __init__(self, listener: socket.socket, rooms: Rooms, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener, self._rooms, self._clock = listener, rooms, clock
        self._pairs: dict[str, _Pair] = {}
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()
        self._listens_from = float("-inf")
        self._turned_away, self._said = 0, float("-inf")
        listener.setblocking(False)
        self._selector.register(self._bell, _READ)
        self._thread = threading.Thread(target=self._run, name="control-door", daemon=True)
        self._thread.start()

    def who(self, name: str) -> str:
        """For people: who is behind what gRPC calls the other end of a connection, unix-abstract:NAME."""
        pair = self._pairs.get(name.partition(":")[2])
        return str(pair.peer) if pair else "somebody who has left"

    def close(self) -> None:
        """Everybody out."""
        self._ringer.close()
        self._thread.join()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._step():
                pass
        finally:
            for pair in self._pairs.values():
                pair.close()
            for end in (self._listener, self._bell, self._selector):
                end.close()

    def _step(self) -> bool:
        now = self._clock()
        if now >= self._listens_from:
            self._watch(self._listener, _READ)
        for key, _ in self._selector.select(_TICK_SECONDS if now >= self._listens_from else _REST_SECONDS):
            if key.fileobj is self._bell:
                return False
            if key.fileobj is self._listener:
                self._accept()
            elif key.data in self._pairs:
                self._serve(self._pairs[key.data])
        for pair in [pair for pair in self._pairs.values() if pair.stalled(self._clock())]:
            log.warning(logfmt.line("event=client-dropped", why="it does not take its answer", peer=pair.peer))
            self._end(pair)
        return True

    def _serve(self, pair: _Pair) -> None:
        if pair.move(self._clock()):
            self._listen_to(pair)
        else:
            self._end(pair)

    def _listen_to(self, pair: _Pair) -> None:
        for end in (pair.client, pair.server):
            self._watch(end, pair.wanted(end), pair.name)

    def _watch(self, end: socket.socket, events: int, name: str = "") -> None:
        """Register for these events, whatever was before."""
        known = self._selector.get_map().get(end)
        if known is None and events:
            self._selector.register(end, events, name)
        elif known is not None and not events:
            self._selector.unregister(end)
        elif known is not None and known.events != events:
            self._selector.modify(end, events, name)

    def _end(self, pair: _Pair) -> None:
        for end in (pair.client, pair.server):
            self._watch(end, 0)
        del self._pairs[pair.name]
        pair.close()

    # -- who comes ---------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has left already
        except OSError as error:  # no descriptors: a level-triggered wait would come back at once, for ever
            self._watch(self._listener, 0)
            self._listens_from = self._clock() + _REST_SECONDS
            self._say_turned_away(f"cannot accept: {error.strerror}")
            return
        try:
            self._admit(client)
        except OSError as error:
            client.close()
            self._say_turned_away(f"cannot be let in: {error.strerror}")

    def _admit(self, client: socket.socket) -> None:
        peer = peers.of(client)
        right = peers.right(peer, self._rooms.group)
        refused = "is neither root nor of the group" if right is Right.NONE else self._crowded(peer, right)
        if refused:
            client.close()
            self._say_turned_away(f"{peer} {refused}")
            return
        client.setblocking(False)
        name, server = _dial(self._rooms.write if right is Right.WRITE else self._rooms.read)
        self._pairs[name] = _Pair(client=client, server=server, name=name, peer=peer)
        self._serve(self._pairs[name])

    def _crowded(self, peer: Peer, right: Right) -> str:
        """Why there is no room for one more; root has some of its own."""
        others = [pair.peer.uid for pair in self._pairs.values() if pair.peer.uid not in {0, os.geteuid()}]
        if len(self._pairs) >= MOST_CLIENTS:
            return f"would be client {MOST_CLIENTS + 1}"
        if right is Right.READ and (len(others) >= MOST_OTHERS or others.count(peer.uid) >= MOST_OF_ONE):
            return f"has {others.count(peer.uid)} connections of its own, all together {len(others)}"
        return ""

    def _say_turned_away(self, why: str) -> None:
        self._turned_away += 1
        if self._clock() - self._said > _QUIET_SECONDS:
            log.warning(logfmt.line("event=turned-away", why=why, count=self._turned_away))
            self._turned_away, self._said = 0, self._clock()


def _dial(path: str) -> tuple[str, socket.socket]:
    """A connection to a server, under the name by which it will know us."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.setblocking(False)
        server.bind("")  # autobind: a free abstract name
        server.connect(path)
        return _named(server.getsockname()), server
    except OSError:
        server.close()
        raise


def _named(address: bytes) -> str:
    return address.removeprefix(b"\0").decode("ascii")
