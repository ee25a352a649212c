"""Asks on a control socket as somebody else. A program of its own: a process that has used gRPC must not fork.

usage: other_user.py SOCKET UID GID[,GID...] METHOD...   prints a line for each method: "fine", or the error's name
"""

import os
import sys
from collections.abc import Callable

path, uid, groups, methods = sys.argv[1], int(sys.argv[2]), [int(one) for one in sys.argv[3].split(",")], sys.argv[4:]
sys.path.insert(0, os.getcwd())

from reconciler.control import client  # noqa: E402  everything is read while we still may

with client.Client(path, timeout=20) as ends:
    asked: dict[str, Callable[[], object]] = {
        "status": ends.status,
        "held": ends.held,
        "watch": lambda: next(ends.watch(past=1)),
        "wake": lambda: ends.wake("me"),
        "set": lambda: ends.change("memcg", "{}"),
        "pause": ends.pause,
        "release": ends.release,
        "prompt": lambda: ends.prompt("", "me", "help"),
    }
    os.setgroups(groups[1:])
    os.setresgid(groups[0], groups[0], groups[0])
    os.setresuid(uid, uid, uid)
    for method in methods:
        try:
            asked[method]()
            print(method, "fine", flush=True)
        except (client.Unavailable, client.Wrong, client.Unknown, client.Busy) as error:
            print(method, type(error).__name__, error, flush=True)
