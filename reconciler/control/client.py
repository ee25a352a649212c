"""The command line's end of the control API: one question, one answer, five errors."""

import json
from collections.abc import Generator, Sequence
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from reconciler.control import control_pb2 as pb
from reconciler.control import wire


class Unavailable(Exception):
    """Nobody answers on the socket."""


class Forbidden(Unavailable):
    """The socket, or what was asked for, is for others."""


class Unknown(Exception):
    """The daemon knows no such workload, or has no answer for it."""


class Wrong(Exception):
    """The daemon does not accept the question."""


class Busy(Exception):
    """Not now: too many ask at once, or the daemon is in no state for it."""


class Client:
    """Questions to the daemon behind `socket_path`; use it in a `with` statement."""

    def __init__(self, socket_path: str, timeout: float = 10.0) -> None:
        self._path = socket_path
        self._timeout = timeout
        self._channel = grpc.insecure_channel(wire.address(socket_path), options=wire.OF_CLIENT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    def status(self) -> Any:
        return self._document("Status", pb.StatusRequest())

    def plan(self) -> Any:
        return self._document("Plan", pb.PlanRequest())

    def watch(self, past: int = 0, *, follow: bool = True) -> Generator[dict[str, Any]]:
        """Transitions with all their fields; to `follow` ends with the daemon, or when the iterator is closed."""
        method = wire.METHODS["Watch"]
        call = self._channel.unary_stream(
            f"/{wire.SERVICE}/Watch", method.asked.SerializeToString, method.answered.FromString
        )
        running = call(pb.WatchRequest(past=past, past_only=not follow))
        try:
            for one in running:
                yield {field.name: getattr(one, field.name) for field in method.answered.DESCRIPTOR.fields}
        except grpc.RpcError as error:
            raise self._said(error) from error
        finally:
            running.cancel()

    def accessed(self, workload: str, limits: Sequence[float]) -> Any:
        return self._document("Accessed", pb.AccessedRequest(workload=workload, limits=limits))

    def history(self, workload: str) -> Any:
        """What reclaim has seen of it: ages, promotions, footprint, as columns."""
        return self._document("History", pb.HistoryRequest(workload=workload))

    def heatmap(self, workload: str = "") -> Any:
        """Sizes over time and, of a workload, which memory was used when."""
        return self._document("Heatmap", pb.HeatmapRequest(workload=workload))

    def stats(self, workload: str = "") -> Any:
        """What loops did to each process."""
        return self._document("Stats", pb.StatsRequest(workload=workload))

    def held(self) -> dict[int, str]:
        """The workload that tracks each process, by process id."""
        return dict(self._ask("Held", pb.HeldRequest()).workloads)

    def configured(self, section: str, *, workload: str = "", cgroup: str = "") -> Any:
        """Which keys of `memcg` or `compact` hold, and who gave them."""
        return self._document(f"{section.title()}Get", pb.Target(workload=workload, cgroup=cgroup))

    def counted(self, section: str, *, workload: str = "", cgroup: str = "") -> Any:
        """What that part did and counted."""
        return self._document(f"{section.title()}Status", pb.Target(workload=workload, cgroup=cgroup))

    # -- changing ----------------------------------------------------------------------------------------------------

    def change(self, section: str, text: str, *, workload: str = "", cgroup: str = "", persist: bool = False) -> Any:
        """A set call: a JSON object with mem-agent's names. Gives what holds now."""
        target = pb.Target(workload=workload, cgroup=cgroup)
        return self._document(f"{section.title()}Set", pb.Change(target=target, json=text, persist=persist))

    def reset(self, section: str, *, workload: str = "", cgroup: str = "") -> Any:
        return self._document(f"{section.title()}Reset", pb.Target(workload=workload, cgroup=cgroup))

    def pause(self) -> None:
        self._ask("Pause", pb.PauseRequest())

    def resume(self, workloads: Sequence[str] = ()) -> None:
        self._ask("Resume", pb.ResumeRequest(workloads=workloads))

    def release(self, workloads: Sequence[str] = ()) -> None:
        self._ask("Release", pb.ReleaseRequest(workloads=workloads))

    def prompt(self, workload: str, person: str, line: str) -> dict[str, Any]:
        """The answer to a line of memtierd's prompt: text, ok, pipe, over, again."""
        said = self._ask("Prompt", pb.PromptRequest(workload=workload, person=person, line=line))
        return {field.name: getattr(said, field.name) for field in said.DESCRIPTOR.fields}

    def wake(self, reason: str) -> None:
        self._ask("Wake", pb.WakeRequest(reason=reason))

    # -- calls -------------------------------------------------------------------------------------------------------

    def _document(self, name: str, asked: Message) -> Any:
        return json.loads(self._ask(name, asked).json)

    def _ask(self, name: str, asked: Message) -> Any:
        method = wire.METHODS[name]
        call = self._channel.unary_unary(
            f"/{wire.SERVICE}/{name}", method.asked.SerializeToString, method.answered.FromString
        )
        try:
            return call(asked, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._said(error) from error

    def _said(self, error: Any) -> Exception:
        code, details = error.code(), str(error.details())
        if code in _KINDS:
            return _KINDS[code](details)
        if "Permission denied" in details:
            return Forbidden(f"{self._path}: permission denied")
        return Unavailable(f"{self._path}: {details or code}")


_KINDS: dict[Any, type[Exception]] = {
    grpc.StatusCode.NOT_FOUND: Unknown,
    grpc.StatusCode.INVALID_ARGUMENT: Wrong,
    grpc.StatusCode.FAILED_PRECONDITION: Busy,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Busy,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
}
