from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AccessedRequest(_message.Message):
    __slots__ = ["limits", "workload"]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedScalarFieldContainer[float]
    workload: str
    def __init__(self, workload: _Optional[str] = ..., limits: _Optional[_Iterable[float]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ["json", "persist", "target"]
    JSON_FIELD_NUMBER: _ClassVar[int]
    PERSIST_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    json: str
    persist: bool
    target: Target
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., json: _Optional[str] = ..., persist: bool = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ["json"]
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class HeatmapRequest(_message.Message):
    __slots__ = ["workload"]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    workload: str
    def __init__(self, workload: _Optional[str] = ...) -> None: ...

class HeldAnswer(_message.Message):
    __slots__ = ["workloads"]
    class WorkloadsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.ScalarMap[int, str]
    def __init__(self, workloads: _Optional[_Mapping[int, str]] = ...) -> None: ...

class HeldRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ["workload"]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    workload: str
    def __init__(self, workload: _Optional[str] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class PlanRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class PromptAnswer(_message.Message):
    __slots__ = ["again", "ok", "over", "pipe", "text"]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    PIPE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    again: bool
    ok: bool
    over: bool
    pipe: str
    text: str
    def __init__(self, text: _Optional[str] = ..., ok: bool = ..., pipe: _Optional[str] = ..., over: bool = ..., again: bool = ...) -> None: ...

class PromptRequest(_message.Message):
    __slots__ = ["line", "person", "workload"]
    LINE_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    line: str
    person: str
    workload: str
    def __init__(self, workload: _Optional[str] = ..., person: _Optional[str] = ..., line: _Optional[str] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ["workloads"]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workloads: _Optional[_Iterable[str]] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ["workloads"]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workloads: _Optional[_Iterable[str]] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ["workload"]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    workload: str
    def __init__(self, workload: _Optional[str] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class Target(_message.Message):
    __slots__ = ["cgroup", "workload"]
    CGROUP_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    cgroup: str
    workload: str
    def __init__(self, workload: _Optional[str] = ..., cgroup: _Optional[str] = ...) -> None: ...

class Transition(_message.Message):
    __slots__ = ["after", "before", "cycle", "kind", "name", "text", "time", "workload"]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    after: str
    before: str
    cycle: int
    kind: str
    name: str
    text: str
    time: str
    workload: str
    def __init__(self, time: _Optional[str] = ..., cycle: _Optional[int] = ..., kind: _Optional[str] = ..., workload: _Optional[str] = ..., name: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class WakeRequest(_message.Message):
    __slots__ = ["reason"]
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ["past", "past_only"]
    PAST_FIELD_NUMBER: _ClassVar[int]
    PAST_ONLY_FIELD_NUMBER: _ClassVar[int]
    past: int
    past_only: bool
    def __init__(self, past: _Optional[int] = ..., past_only: bool = ...) -> None: ...
