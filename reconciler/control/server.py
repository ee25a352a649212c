"""The daemon's end of the control API.

People come through a door (door.py) that asks the kernel who they are. Behind it are two gRPC servers on private
sockets: one that answers everything, and, where a group may look, one that refuses what changes things; so nobody's
questions can use up what root needs. The public socket is bound in the private folder and renamed into place: it never
exists with wider permissions, and a dead daemon's socket is replaced in one step.
"""

import contextlib
import os
import shutil
import socket
import tempfile
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from reconciler.control import door, wire
from reconciler.control.answering import MOST_READERS, Answers, Desk
from reconciler.control.door import Door, Rooms

_THREADS = 8  # beside those of the readers of transitions
_PREFIX = ".c"  # of the private folder


@dataclass(slots=True, kw_only=True)
class Serving:
    """A running server."""

    socket_path: str
    servers: list[Any] = field(repr=False)
    entry: Door = field(repr=False)
    folder: str
    inode: int

    def close(self) -> None:
        """Stop answering; the socket goes, unless another daemon's has taken its place."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.socket_path).st_ino == self.inode:
                os.unlink(self.socket_path)
        for ended in [server.stop(grace=0.5) for server in self.servers]:
            ended.wait()
        self.entry.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def serve(socket_path: str, answers: Answers, group: int | None = None) -> Serving:
    """Answer on `socket_path` until the handle is closed. `group`: the number of the group that may look."""
    wire.address(socket_path)
    parent = os.path.dirname(socket_path) or "."
    _sweep(Path(parent))
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)  # mode 0700: nobody else gets behind the door
    try:
        return _serve(socket_path, folder, answers, group)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _serve(socket_path: str, folder: str, answers: Answers, group: int | None) -> Serving:
    rooms = Rooms(write=f"{folder}/w", read="" if group is None else f"{folder}/r", group=group)
    listener, inode = _listener(f"{folder}/s", group)
    entry = Door(listener, rooms)
    servers = [_start(Desk(answers, entry.who, may_change=True), rooms.write)]
    if rooms.read:
        servers.append(_start(Desk(answers, entry.who, may_change=False), rooms.read))
    os.rename(f"{folder}/s", socket_path)
    return Serving(socket_path=socket_path, servers=servers, entry=entry, folder=folder, inode=inode)


def _listener(path: str, group: int | None) -> tuple[socket.socket, int]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    if group is not None:
        os.chown(path, -1, group)
        os.chmod(path, 0o660)  # who may not write to it cannot connect
    listener.listen(door.MOST_CLIENTS)
    return listener, os.stat(path).st_ino


def _start(desk: Desk, path: str) -> Any:
    threads = _THREADS + MOST_READERS
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=threads, thread_name_prefix="control"),
        options=wire.OF_SERVER,
        maximum_concurrent_rpcs=2 * threads,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, desk.handlers()),))
    if not server.add_insecure_port(wire.address(path)):
        raise OSError(f"{path}: gRPC cannot listen there")
    server.start()
    return server


def _sweep(parent: Path) -> None:
    """Remove private folders of daemons that were killed: nobody listens in them."""
    for folder in parent.glob(f"{_PREFIX}????????"):
        with socket.socket(socket.AF_UNIX) as ends:
            try:
                ends.connect(str(folder / "w"))
            except ConnectionRefusedError:
                shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue
