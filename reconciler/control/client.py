"""The command line's end of the control API: one question, one answer, three errors."""

from collections.abc import Sequence
from typing import Any, Self, cast

import grpc

from reconciler.control import wire


class Unavailable(Exception):
    """Nobody answers on the socket."""


class Forbidden(Unavailable):
    """The socket is another user's."""


class Unknown(Exception):
    """The daemon knows no such workload, or has no answer for it."""


class Wrong(Exception):
    """The daemon does not accept the question."""


class Client:
    """Questions to the daemon behind `socket_path`; use it in a `with` statement."""

    def __init__(self, socket_path: str, timeout: float = 10.0) -> None:
        self._path = socket_path
        self._timeout = timeout
        self._channel = grpc.insecure_channel(wire.address(socket_path), options=wire.OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def status(self) -> dict[str, Any]:
        return self._ask("Status", {})

    def accessed(self, workload: str, limits: Sequence[float]) -> dict[str, Any]:
        return self._ask("Accessed", {"workload": workload, "limits": list(limits)})

    def history(self, workload: str) -> dict[str, Any]:
        """What reclaim has seen of it: ages, promotions, footprint, as columns."""
        return self._ask("History", {"workload": workload})

    def held(self) -> dict[str, str]:
        """The workload that tracks each process, by process id."""
        return cast("dict[str, str]", self._ask("Held", {}))

    def prompt(self, workload: str, person: str, line: str) -> dict[str, Any]:
        """The answer to a line of memtierd's prompt: text, ok, pipe, over, again."""
        return self._ask("Prompt", {"workload": workload, "person": person, "line": line})

    def wake(self, reason: str) -> None:
        self._ask("Wake", {"reason": reason})

    def _ask(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        call = self._channel.unary_unary(f"/{wire.SERVICE}/{method}", wire.encode, wire.decode)
        try:
            return cast("dict[str, Any]", call(request, timeout=self._timeout))
        except grpc.RpcError as error:
            raise self._said(error) from error

    def _said(self, error: Any) -> Exception:
        code, details = error.code(), str(error.details())
        if code is grpc.StatusCode.NOT_FOUND:
            return Unknown(details)
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return Wrong(details)
        if "Permission denied" in details:
            return Forbidden(f"{self._path}: permission denied")
        return Unavailable(f"{self._path}: {details or code}")
