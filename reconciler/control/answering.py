"""Questions in, answers out: the messages of the control API made into plain arguments and back, errors into codes."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from reconciler.control import control_pb2 as pb
from reconciler.control import wire
from reconciler.control.feed import Feed, TooSlow
from reconciler.report import Transition

MOST_READERS = 8  # of transitions; each holds a thread
MOST_SLOW = 4  # prompts at once: a line may take minutes
_LONGEST_LINE = 1 << 20


class NotNow(Exception):
    """It makes sense, but not in this state; the text says why."""


class TooMany(Exception):
    """There are as many of this kind as there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """A workload (id) or a cgroup (path below the mount); the node if neither."""

    workload: str = ""
    cgroup: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A set call, as it came in."""

    section: str  # memcg | compact
    whom: Whom
    json: str
    persist: bool
    who: str  # for people: "uid 0, pid 4711"


Prompt = Callable[[str, str, str], object]  # workload ("" = none), person, line -> text, ok, pipe, over, again


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the daemon answers; None: it has no such thing. Called on the server's threads.

    A LookupError of theirs becomes NOT_FOUND, a ValueError INVALID_ARGUMENT, NotNow FAILED_PRECONDITION.
    """

    status: Callable[[], object] | None = None
    plan: Callable[[], object] | None = None
    accessed: Callable[[str, Sequence[float]], object] | None = None
    history: Callable[[str], object] | None = None
    heatmap: Callable[[str], object] | None = None  # "" = the node
    stats: Callable[[str], object] | None = None  # "" = all workloads
    held: Callable[[], Mapping[int, str]] | None = None
    prompt: Prompt | None = None
    wake: Callable[[str], None] | None = None
    pause: Callable[[], None] | None = None
    resume: Callable[[Sequence[str]], None] | None = None
    release: Callable[[Sequence[str]], None] | None = None
    configured: Callable[[str, Whom], object] | None = None  # of a section
    counted: Callable[[str, Whom], object] | None = None
    change: Callable[[Wish], object] | None = None
    reset: Callable[[str, Whom, str], object] | None = None  # section, whom, who does it
    transitions: Feed | None = None


class Desk:
    """The handlers of one server. `who`: the peer behind what gRPC calls the other end, for people."""

    def __init__(self, answers: Answers, who: Callable[[str], str], *, may_change: bool) -> None:
        self._answers, self._who, self._may_change = answers, who, may_change
        self._readers = threading.BoundedSemaphore(MOST_READERS)
        self._slow = threading.BoundedSemaphore(MOST_SLOW)

    def handlers(self) -> dict[str, Any]:
        return {name: self._handler(wire.METHODS[name], answer) for name, answer in self._by_name().items()}

    def _by_name(self) -> dict[str, Callable[[Any, Any], Any]]:
        return {
            "Status": self._status,
            "Plan": self._plan,
            "Watch": self._watch,
            "MemcgGet": partial(self._configured, "memcg"),
            "MemcgStatus": partial(self._counted, "memcg"),
            "CompactGet": partial(self._configured, "compact"),
            "CompactStatus": partial(self._counted, "compact"),
            "Accessed": self._accessed,
            "History": self._history,
            "Heatmap": self._heatmap,
            "Stats": self._stats,
            "Held": self._held,
            "MemcgSet": partial(self._change, "memcg"),
            "CompactSet": partial(self._change, "compact"),
            "MemcgReset": partial(self._reset, "memcg"),
            "CompactReset": partial(self._reset, "compact"),
            "Pause": self._pause,
            "Resume": self._resume,
            "Release": self._release,
            "Prompt": self._prompt,
            "Wake": self._wake,
        }

    def _handler(self, method: wire.Method, answer: Callable[[Any, Any], Any]) -> Any:
        if method.changes and not self._may_change:
            answer = _refused
        make = grpc.unary_stream_rpc_method_handler if method.stream else grpc.unary_unary_rpc_method_handler
        guarded = _guarded_stream(answer) if method.stream else _guarded(answer)
        return make(guarded, method.asked.FromString, method.answered.SerializeToString)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _status(self, _: pb.StatusRequest, __: Any) -> pb.Document:
        return wire.document(_given(self._answers.status)())

    def _plan(self, _: pb.PlanRequest, __: Any) -> pb.Document:
        return wire.document(_given(self._answers.plan)())

    def _watch(self, asked: pb.WatchRequest, context: Any) -> Iterator[pb.Transition]:
        transitions: Feed = _given(self._answers.transitions)
        if asked.past_only:
            yield from map(_message, transitions.past(asked.past))
            return
        with _one_of(self._readers, f"{MOST_READERS} clients are watching already"):
            reader = transitions.follow(asked.past)
            try:
                if context.add_callback(reader.close):
                    yield from map(_message, reader)
            finally:
                transitions.leave(reader)

    def _configured(self, section: str, asked: pb.Target, _: Any) -> pb.Document:
        return wire.document(_given(self._answers.configured)(section, _whom(asked)))

    def _counted(self, section: str, asked: pb.Target, _: Any) -> pb.Document:
        return wire.document(_given(self._answers.counted)(section, _whom(asked)))

    def _accessed(self, asked: pb.AccessedRequest, _: Any) -> pb.Document:
        if not asked.workload:
            raise ValueError("`workload` must be an id")
        if any(not limit >= 0 for limit in asked.limits):
            raise ValueError("`limits` must be a list of seconds")
        return wire.document(_given(self._answers.accessed)(asked.workload, tuple(asked.limits)))

    def _history(self, asked: pb.HistoryRequest, _: Any) -> pb.Document:
        if not asked.workload:
            raise ValueError("`workload` must be an id")
        return wire.document(_given(self._answers.history)(asked.workload))

    def _heatmap(self, asked: pb.HeatmapRequest, _: Any) -> pb.Document:
        return wire.document(_given(self._answers.heatmap)(asked.workload))

    def _stats(self, asked: pb.StatsRequest, _: Any) -> pb.Document:
        return wire.document(_given(self._answers.stats)(asked.workload))

    def _held(self, _: pb.HeldRequest, __: Any) -> pb.HeldAnswer:
        return pb.HeldAnswer(workloads=_given(self._answers.held)())

    # -- changing ----------------------------------------------------------------------------------------------------

    def _change(self, section: str, asked: pb.Change, context: Any) -> pb.Document:
        wish = Wish(
            section=section,
            whom=_whom(asked.target),
            json=asked.json,
            persist=asked.persist,
            who=self._who(context.peer()),
        )
        return wire.document(_given(self._answers.change)(wish))

    def _reset(self, section: str, asked: pb.Target, context: Any) -> pb.Document:
        return wire.document(_given(self._answers.reset)(section, _whom(asked), self._who(context.peer())))

    def _pause(self, _: pb.PauseRequest, __: Any) -> pb.Done:
        _given(self._answers.pause)()
        return pb.Done()

    def _resume(self, asked: pb.ResumeRequest, _: Any) -> pb.Done:
        _given(self._answers.resume)(tuple(asked.workloads))
        return pb.Done()

    def _release(self, asked: pb.ReleaseRequest, _: Any) -> pb.Done:
        _given(self._answers.release)(tuple(asked.workloads))
        return pb.Done()

    def _prompt(self, asked: pb.PromptRequest, _: Any) -> pb.PromptAnswer:
        if len(asked.line) >= _LONGEST_LINE:
            raise ValueError("such a long line is none of a prompt's")
        with _one_of(self._slow, f"{MOST_SLOW} prompts are being answered"):
            said = _given(self._answers.prompt)(asked.workload, asked.person, asked.line)
        return pb.PromptAnswer(**{name: getattr(said, name) for name in ("text", "ok", "pipe", "over", "again")})

    def _wake(self, asked: pb.WakeRequest, _: Any) -> pb.Done:
        _given(self._answers.wake)(asked.reason or "control")
        return pb.Done()


def _given(answer: Any) -> Any:
    if answer is None:
        raise NotImplementedError("this daemon has no answer to that")
    return answer


def _message(one: Transition) -> pb.Transition:
    return pb.Transition(**{name: getattr(one, name) for name in one.__slots__})


def _whom(target: pb.Target) -> Whom:
    if target.workload and target.cgroup:
        raise ValueError("name a workload or a cgroup, not both")
    return Whom(workload=target.workload, cgroup=target.cgroup)


@contextmanager
def _one_of(few: threading.BoundedSemaphore, said: str) -> Iterator[None]:
    if not few.acquire(blocking=False):
        raise TooMany(f"{said}, and there may be no more at once")
    try:
        yield
    finally:
        few.release()


def _refused(_: object, __: object) -> Any:
    raise PermissionError("only root changes things; the socket's group may look")


_CODES: Sequence[tuple[type[Exception], Any]] = (
    (LookupError, grpc.StatusCode.NOT_FOUND),
    (ValueError, grpc.StatusCode.INVALID_ARGUMENT),
    (NotNow, grpc.StatusCode.FAILED_PRECONDITION),
    (TooMany, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooSlow, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (PermissionError, grpc.StatusCode.PERMISSION_DENIED),
    (NotImplementedError, grpc.StatusCode.UNIMPLEMENTED),
)
_SAID = tuple(kind for kind, _ in _CODES)


def _guarded(answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def handle(asked: Any, context: Any) -> Any:
        try:
            return answer(asked, context)
        except _SAID as error:
            _abort(context, error)
        raise AssertionError("abort() raises")

    return handle


def _guarded_stream(answer: Callable[[Any, Any], Iterator[Any]]) -> Callable[[Any, Any], Iterator[Any]]:
    def handle(asked: Any, context: Any) -> Iterator[Any]:
        try:
            yield from answer(asked, context)
        except _SAID as error:
            _abort(context, error)

    return handle


def _abort(context: Any, error: Exception) -> None:
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    context.abort(code, str(error.args[0] if error.args else error))
