"""The daemon's end of the control API.

The socket's mode is 0600, so only root and the daemon's own user connect. It is bound in a private folder and renamed
into place: it never exists with wider permissions, and a dead daemon's socket is replaced in one step.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc

from reconciler.control import wire

_LONGEST_WORD = 1 << 20

Status = Callable[[], object]
Accessed = Callable[[str, Sequence[float]], object]
Wake = Callable[[str], None]
Held = Callable[[], object]
Prompt = Callable[[str, str, str], object]  # workload ("" = none), person, line
History = Callable[[str], object]  # LookupError for a workload without one
Answer = Callable[[dict[str, Any]], object]


@dataclass(slots=True, kw_only=True)
class Serving:
    """A running server."""

    socket_path: str
    server: Any = field(repr=False)
    inode: int

    def close(self) -> None:
        """Stop answering; the socket goes, unless another daemon's has taken its place."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.socket_path).st_ino == self.inode:
                os.unlink(self.socket_path)
        self.server.stop(grace=0.5).wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompting:
    """What the prompt needs."""

    held: Held
    prompt: Prompt


def serve(
    socket_path: str,
    status: Status,
    accessed: Accessed,
    wake: Wake,
    prompting: Prompting | None = None,
    history: History | None = None,
) -> Serving:
    """Answer on `socket_path` until the handle is closed.

    The callbacks run on the server's threads. A LookupError of theirs becomes NOT_FOUND, a ValueError INVALID_ARGUMENT.
    """
    wire.address(socket_path)
    answers: dict[str, Answer] = {
        "Status": lambda _: status(),
        "Accessed": lambda request: accessed(_workload(request), _limits(request)),
        "Wake": lambda request: _woken(wake, request),
    }
    if prompting is not None:
        answers["Held"] = lambda _: prompting.held()
        answers["Prompt"] = lambda request: prompting.prompt(*_words(request, "workload", "person", "line"))
    if history is not None:
        answers["History"] = lambda request: history(_workload(request))
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=2, thread_name_prefix="control"),
        options=wire.OPTIONS,
        maximum_concurrent_rpcs=16,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, _handlers(answers)),))
    return Serving(socket_path=socket_path, server=server, inode=_listen(server, socket_path))


def _listen(server: Any, socket_path: str) -> int:
    with tempfile.TemporaryDirectory(prefix=".c", dir=os.path.dirname(socket_path) or ".") as private:
        bound = f"{private}/s"
        if not server.add_insecure_port(wire.address(bound)):
            raise OSError(f"{socket_path}: gRPC cannot listen there")
        server.start()
        os.chmod(bound, 0o600)
        inode = os.stat(bound).st_ino
        os.rename(bound, socket_path)
    return inode


def _handlers(answers: dict[str, Answer]) -> dict[str, Any]:
    return {
        name: grpc.unary_unary_rpc_method_handler(_guarded(answer), wire.decode, wire.encode)
        for name, answer in answers.items()
    }


def _guarded(answer: Answer) -> Callable[[dict[str, Any], Any], object]:
    def handle(request: dict[str, Any], context: Any) -> object:
        try:
            return answer(request)
        except LookupError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error.args[0] if error.args else error))
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        raise AssertionError("abort() raises")

    return handle


def _woken(wake: Wake, request: dict[str, Any]) -> dict[str, Any]:
    wake(str(request.get("reason", "control")))
    return {}


def _workload(request: dict[str, Any]) -> str:
    workload = request.get("workload")
    if not isinstance(workload, str) or not workload:
        raise ValueError("`workload` must be an id")
    return workload


def _words(request: dict[str, Any], *names: str) -> list[str]:
    words = [request.get(name, "") for name in names]
    if not all(isinstance(word, str) and len(word) <= _LONGEST_WORD for word in words):
        raise ValueError(f"{', '.join(names)} must be texts")
    return words


def _limits(request: dict[str, Any]) -> tuple[float, ...]:
    limits = request.get("limits", [])
    if not isinstance(limits, list) or not all(isinstance(limit, int | float) and limit >= 0 for limit in limits):
        raise ValueError("`limits` must be a list of seconds")
    return tuple(map(float, limits))
