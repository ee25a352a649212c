"""What we answer to the runtime, and what changes in the inventory because of it. No socket, no file.

Every call has two halves. The answer needs nothing but memory, so it leaves within a millisecond or two; the work,
done when the answer is on its way, looks at the cgroup tree and says which records to write and remove. Others do that
(nri.background). So no slow disk, scan or page-out can delay a container, and a handler that fails costs a log line,
never a container.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from google.protobuf.message import DecodeError, Message

from nri import adjust, cgroup_path, containers
from nri import api_pb2 as api
from nri.adjust import Decision, View
from nri.changes import Changes
from nri.ttrpc import Code
from reconciler import logfmt
from reconciler.model import OnError, Problem, Workload, WorkloadState
from sysfs import cgroup
from sysfs.tree import Tree

log = logging.getLogger("ebbtide.nri")
decisions = logging.getLogger("ebbtide.nri.decisions")
messages = logging.getLogger("ebbtide.nri.messages")

SERVICE = api.DESCRIPTOR.services_by_name["Plugin"].full_name


def no_work() -> Changes:
    return Changes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    reply: Message = field(default_factory=api.Empty)
    code: int = Code.OK
    message: str = ""
    work: Callable[[], Changes] = no_work
    last: bool = False  # the connection is of no more use


Subject = tuple[api.PodSandbox, api.Container]


class Plugin:
    """One for the life of the process; connections to the runtime come and go."""

    def __init__(self, tree: Tree, look: Callable[[], View], known: Iterable[Workload] = ()) -> None:
        self._tree = tree
        self._look = look
        self.known = {workload.id: workload for workload in known}
        self._pods: list[api.PodSandbox] = []
        self._containers: list[api.Container] = []
        self.synchronized = False
        self.request_timeout_ms = 2000
        self._calls: Mapping[str, Callable[[bytes], Answer]] = {
            "Configure": self.configure,
            "Synchronize": self.synchronize,
            "CreateContainer": self.create,
            "UpdateContainer": self.update,
            "StateChange": self.changed,
        }
        self._events: Mapping[str, Callable[[Subject], Changes]] = {
            "RemovePodSandbox": self.pod_deleted,
            "StartContainer": self.started,
            "PostStartContainer": self.running,
            "StopContainer": self.stopped,
            "RemoveContainer": self.deleted,
        }

    def connected(self) -> None:
        """A new connection: nothing of a Synchronize that was cut off counts."""
        self._pods, self._containers, self.synchronized = [], [], False

    def answer(self, method: str, payload: bytes) -> Answer:
        """The answer to one call; never an exception."""
        try:
            return self._answer(method, payload)
        except DecodeError:
            return self._unreadable(method)
        except Exception:  # one guard for all handlers: a bug of ours must not stop a container
            log.exception(logfmt.line("event=handler-failed", method=method))
            return Answer(last=method == "Synchronize")

    def _unreadable(self, method: str) -> Answer:
        """A name that is not UTF-8 is enough. An error would make the runtime fail the container, so we look away."""
        log.warning(logfmt.line("event=unreadable", method=method))
        if method == "Configure":
            return Answer(code=Code.INVALID_ARGUMENT, message=f"{method}: the request is no protobuf message")
        if method == "Synchronize":  # it would be the same each time: what STATE knows must do
            self.synchronized = True
            return Answer(work=self.recover)
        return Answer()

    def _answer(self, method: str, payload: bytes) -> Answer:
        handler = self._calls.get(method)
        if handler is not None:
            return handler(payload)
        if method in self._events:
            request = api.ContainerRequest.FromString(payload)  # a pod's request is the beginning of this
            return self._event(method, (request.pod, request.container))
        if method in _UNUSED:
            return Answer()
        return Answer(code=Code.UNIMPLEMENTED, message=f"method {method}")

    def changed(self, payload: bytes) -> Answer:
        """Hosts before 0.12 have one method for all events but three."""
        change = api.StateChangeEvent.FromString(payload)
        messages.info(logfmt.line("event=state-change", number=change.event, name=_BY_NUMBER.get(change.event)))
        return self._event(_BY_NUMBER.get(change.event, ""), (change.pod, change.container))

    def _event(self, method: str, subject: Subject) -> Answer:
        handler = self._events.get(method)
        return Answer() if handler is None else Answer(work=lambda: handler(subject))

    # -- the connection's own calls ----------------------------------------------------------------------------------

    def configure(self, payload: bytes) -> Answer:
        request = api.ConfigureRequest.FromString(payload)
        self.request_timeout_ms = request.request_timeout or 2000
        log.info(
            logfmt.line(
                "event=configured",
                runtime=request.runtime_name,
                version=request.runtime_version,
                nri=request.NRI_version,
                config_bytes=len(request.config),
            )
        )

        def work() -> Changes:
            return replace(self.recover(), publish=request.config)

        return Answer(reply=api.ConfigureResponse(events=EVENT_MASK), work=work)

    def recover(self) -> Changes:
        """Without a Synchronize (old hosts do not send it to plugins that they launch) the cgroup tree must do."""
        view = self._look()
        if not view.features.cgroup_mount:  # not in sight says nothing about what is in it
            return Changes(keep=frozenset(self.known))
        gone = [one.id for one in self.known.values() if one.cgroup and not self._has_cgroup(one, view)]
        changes = self._removed(gone, "its cgroup is gone")
        started = [one for one in self.known.values() if not one.cgroup and self._has_cgroup(one, view)]
        found = tuple(self._found_again(workload, view) for workload in started)
        return replace(changes, write=found, keep=frozenset(self.known))  # records of an earlier boot go, too

    def _has_cgroup(self, workload: Workload, view: View) -> bool:
        path = workload.cgroup or cgroup_path.expected(workload.cgroups_path)
        return bool(path) and self._tree.exists(f"{view.features.cgroup_mount}{path}/cgroup.procs")

    def _found_again(self, workload: Workload, view: View) -> Workload:
        """It started while nobody told us."""
        workload = replace(workload, cgroup=cgroup_path.expected(workload.cgroups_path), state=WorkloadState.LIVE)
        self.known[workload.id] = replace(workload, problems=adjust.decide(workload, view).problems)
        return self.known[workload.id]

    def synchronize(self, payload: bytes) -> Answer:
        """Chunks are kept until the last one; the records of what exists are written when that is answered."""
        request = api.SynchronizeRequest.FromString(payload)
        self._pods += request.pods
        self._containers += request.containers
        if request.more:
            return Answer(reply=api.SynchronizeResponse(more=True))
        pods, found = {pod.id: pod for pod in self._pods}, self._containers
        self._pods, self._containers, self.synchronized = [], [], True
        return Answer(reply=api.SynchronizeResponse(), work=lambda: self._all_of(pods, found))

    def _all_of(self, pods: Mapping[str, api.PodSandbox], found: Iterable[api.Container]) -> Changes:
        view, before = self._look(), set(self.known)
        subjects = [(pods.get(container.pod_sandbox_id, api.PodSandbox()), container) for container in found]
        seen = (self._seen(subject, "synchronized", view) for subject in subjects)
        present = [workload for workload in seen if workload is not None]
        keep = frozenset(workload.id for workload in present)
        self.known = {workload.id: workload for workload in present}
        log.info(logfmt.line("event=synchronized", containers=len(keep), gone=len(before - keep)))
        return Changes(write=tuple(present), keep=keep)

    # -- containers --------------------------------------------------------------------------------------------------

    def create(self, payload: bytes) -> Answer:
        request, view = api.CreateContainerRequest.FromString(payload), self._look()
        workload = containers.workload(request.pod, request.container, view.boot_id)
        originals = containers.runtime_values(request.container.linux.resources, unified=True)
        workload = replace(workload, runtime_values=originals)
        decision = adjust.decide(workload, view)
        if decision.errors and view.table.nri.on_error is OnError.REJECT and not view.uncertain:
            return _rejected(workload, decision)
        reply = api.CreateContainerResponse()
        if decision.unified:
            reply.adjust.linux.resources.unified.update(decision.unified)
        workload = replace(containers.adjusted(workload, decision.unified), problems=decision.problems)
        return Answer(reply=reply, work=lambda: self._decided("create", workload, decision))

    def update(self, payload: bytes) -> Answer:
        """An in-place resize: what depends on the limit is decided anew, and all of ours is repeated."""
        request, view = api.UpdateContainerRequest.FromString(payload), self._look()
        fresh = containers.workload(request.pod, request.container, view.boot_id)
        known = containers.continued(fresh, self.known.get(fresh.id))
        known = containers.resized(known, request.linux_resources)
        decision = adjust.decide(known, view)
        reply = api.UpdateContainerResponse()
        if decision.unified:
            one = reply.update.add(container_id=known.id)
            one.linux.resources.unified.update(decision.unified)
        workload = replace(known, adjusted=decision.unified, problems=decision.problems)
        return Answer(
            reply=reply, work=lambda: self._decided("update", self._placed(workload, request.container, view), decision)
        )

    def _decided(self, what: str, workload: Workload, decision: Decision) -> Changes:
        before = self.known.get(workload.id)
        self.known[workload.id] = workload
        _log_decision(what, workload, decision)
        _log_problems(workload, before)
        return Changes(write=(workload,))

    def started(self, subject: Subject) -> Changes:
        """Its cgroup and first process exist, its own code does not run yet: from now on the daemon may manage it."""
        workload = self._seen(subject, "start", self._look())
        return Changes(write=(workload,)) if workload else Changes()

    def running(self, subject: Subject) -> Changes:
        """Only what START did not know: without cgroup v2, the process is all there is to hold on to."""
        view, before = self._look(), self.known.get(subject[1].id)
        workload = self._seen(subject, "running", view)
        if workload is None:
            return Changes()
        if not view.features.cgroup_mount and subject[1].pid:
            workload = replace(workload, pids=(subject[1].pid,))
            self.known[workload.id] = workload
        return Changes(write=(workload,)) if workload != before else Changes()

    def stopped(self, subject: Subject) -> Changes:
        """Stop is said when its processes are dead; if they are not (the stop failed), Remove will come, too."""
        workload = self.known.get(subject[1].id)
        mount = self._look().features.cgroup_mount
        if workload and workload.cgroup and mount and cgroup.populated(self._tree, mount + workload.cgroup):
            return Changes()
        return self._removed([subject[1].id], "stopped")

    def deleted(self, subject: Subject) -> Changes:
        return self._removed([subject[1].id], "removed")

    def pod_deleted(self, subject: Subject) -> Changes:
        pod = subject[0].id
        return self._removed([one.id for one in self.known.values() if pod and one.sandbox == pod], "pod removed")

    def _removed(self, ids: Iterable[str], reason: str) -> Changes:
        gone = [workload for one in ids if (workload := self.known.pop(one, None)) is not None]
        for workload in gone:
            decisions.info(logfmt.line("event=forgotten", **_identity(workload), reason=reason))
        return Changes(remove=tuple(workload.id for workload in gone))

    def _seen(self, subject: Subject, what: str, view: View) -> Workload | None:
        """The record of a container that the runtime shows us now, with its cgroup if there is one."""
        pod, container = subject
        try:
            fresh = containers.workload(pod, container, view.boot_id)
        except ValueError as error:
            log.warning(logfmt.line("event=refused", what=what, reason=error))
            return None
        before = self.known.get(fresh.id)
        workload = self._placed(containers.continued(fresh, before), container, view)
        decision = adjust.decide(workload, view)
        workload = replace(workload, problems=(*decision.problems, *_unplaced(workload, view)))
        self.known[workload.id] = workload
        if before is None:
            _log_decision(what, workload, decision)
        _log_problems(workload, before)
        return workload

    def _placed(self, workload: Workload, container: api.Container, view: View) -> Workload:
        mount, path = view.features.cgroup_mount, container.linux.cgroups_path
        found = cgroup_path.find(self._tree, mount, path, container.id, container.pid)
        live = bool(found or container.pid or workload.state is WorkloadState.LIVE)
        return replace(
            workload,
            cgroup=found or workload.cgroup,
            state=WorkloadState.LIVE if live else WorkloadState.PENDING,
        )

    def looked_again(self) -> Changes:
        """Class files changed: what is wrong with each container may have, too."""
        view = self._look()
        changed = []
        for workload in self.known.values():
            problems = (*adjust.decide(workload, view).problems, *_unplaced(workload, view))
            if problems != workload.problems:
                changed.append(replace(workload, problems=problems))
        self.known |= {workload.id: workload for workload in changed}
        return Changes(write=tuple(changed))


_NUMBERS = {
    "RemovePodSandbox": api.REMOVE_POD_SANDBOX,
    "CreateContainer": api.CREATE_CONTAINER,
    "StartContainer": api.START_CONTAINER,
    "PostStartContainer": api.POST_START_CONTAINER,
    "UpdateContainer": api.UPDATE_CONTAINER,
    "StopContainer": api.STOP_CONTAINER,
    "RemoveContainer": api.REMOVE_CONTAINER,
}
_BY_NUMBER = {number: name for name, number in _NUMBERS.items()}
# Not asked for, and answered all the same: an unknown method would make newer hosts fall back to StateChange.
_UNUSED = frozenset(
    {
        "Shutdown",
        "RunPodSandbox",
        "UpdatePodSandbox",
        "PostUpdatePodSandbox",
        "StopPodSandbox",
        "PostCreateContainer",
        "PostUpdateContainer",
    }
)
# All of them are in 0x7FF, which every host knows; one unknown bit and the host would refuse us.
EVENT_MASK = sum(1 << (number - 1) for number in _NUMBERS.values())


def _rejected(workload: Workload, decision: Decision) -> Answer:
    reason = "; ".join(f"{problem.message} ({problem.hint})" for problem in decision.errors)
    log.warning(logfmt.line("event=rejected", **_identity(workload), reason=reason))
    return Answer(code=Code.UNKNOWN, message=f"ebbtide: {reason}")


def _unplaced(workload: Workload, view: View) -> tuple[Problem, ...]:
    if workload.state is WorkloadState.PENDING or workload.cgroup or not view.features.cgroup_mount:
        return ()
    problem = Problem(
        where=f"workload {workload.name}",
        pointer="/cgroup",
        message="it runs, but its cgroup was not found below " + view.features.cgroup_mount,
        hint="`ebbtide nri` must see the host's cgroup tree and process ids (hostPID, /sys/fs/cgroup)",
    )
    return (problem,)


def _log_decision(what: str, workload: Workload, decision: Decision) -> None:
    shown = {knob.removeprefix("memory."): value for knob, value in decision.unified.items()}
    decisions.info(
        logfmt.line(
            f"event={what}",
            **_identity(workload),
            **{"class": decision.class_name or "-"},
            unified=",".join(f"{knob}={value}" for knob, value in sorted(shown.items())),
            left_to_daemon=decision.reason,
            cgroup=workload.cgroup,
        )
    )


def _log_problems(workload: Workload, before: Workload | None) -> None:
    """What is new: a container lives for weeks, and its problem is worth one line."""
    for problem in workload.problems:
        if before is not None and problem in before.problems:
            continue
        log.warning(
            logfmt.line(
                f"event={problem.severity}", **_identity(workload), place=problem.pointer, message=problem.message
            )
        )


def _identity(workload: Workload) -> dict[str, str]:
    return {"id": workload.id, "name": workload.name}
