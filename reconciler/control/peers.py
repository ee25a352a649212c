"""Who is at the other end of a unix socket, as the kernel says (unix(7), SO_PEERCRED), and what they may do."""

import os
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_PEERGROUPS = 59  # SO_PEERGROUPS of asm-generic/socket.h (Linux 4.13); Python has no name for it
_MOST_ANSWER = 1024  # bytes, of Python's getsockopt: 256 groups


class Right(StrEnum):
    WRITE = "write"
    READ = "read"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process that connected, as it was then."""

    uid: int
    pid: int = 0
    groups: frozenset[int] = frozenset()

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid}"


def of(connection: socket.socket) -> Peer:
    pid, uid, gid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(uid=uid, pid=pid, groups=frozenset({gid, *_groups(connection)}))


def _groups(connection: socket.socket) -> tuple[int, ...]:
    """The supplementary ones; none where the kernel does not tell, or of somebody who is in more than 256."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _PEERGROUPS, _MOST_ANSWER)
    except OSError:
        return ()
    return struct.unpack(f"{len(data) // 4}I", data)


def right(peer: Peer, group: int | None) -> Right:
    """Root and who runs us may change things; the group may look; the socket's mode alone is never trusted."""
    if peer.uid in {0, os.geteuid()}:
        return Right.WRITE
    return Right.READ if group is not None and group in peer.groups else Right.NONE
