"""What a running daemon answers to those who come to its control socket, and what it does for them.

Questions come on the server's threads, beside the cycle. What they change is a file (a pause, a release, a drop-in) or
the list of runtime changes; the next cycle, which is woken, does the rest.
"""

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconciler import agentreading, agentwanted, logfmt, persisted, released, state
from reconciler.agentconfig import MemcgOverride, MemcgProfile, Override
from reconciler.cli import plan as plan_verb
from reconciler.cli.looking import Looked
from reconciler.control.answering import Answers, NotNow, Whom, Wish
from reconciler.memtierd.resident import Prompts
from reconciler.model import Problem
from reconciler.report import Transition
from reconciler.status import Cycle

if TYPE_CHECKING:
    from reconciler.daemon import Daemon

log = logging.getLogger("ebbtide")

MOST_PLACES = 1000  # cgroups with runtime changes


class Reception:
    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._changing = threading.Lock()  # two drop-ins at once would be one

    def answers(self) -> Answers:
        daemon = self._daemon
        return Answers(
            status=daemon.status,
            plan=self.plan,
            accessed=daemon.accessed,
            history=daemon.agent.history,
            heatmap=daemon.heatmap,
            stats=daemon.engine.statistics,
            held=daemon.engine.held,
            prompt=Prompts(daemon.resident).answer,
            wake=daemon.loop.wake,
            pause=self.pause,
            resume=self.resume,
            release=self.release,
            configured=self.configured,
            counted=self.counted,
            change=self.change,
            reset=self.reset,
            transitions=daemon.feed,
        )

    def plan(self) -> Mapping[str, Any]:
        """What the last cycle decided."""
        last = self._begun()
        looked = Looked(look=last.look, known=last.known, report=self._daemon.report)
        return plan_verb.document(looked, last.plan, plan_verb.problems(looked, None))

    # -- pause and release ---------------------------------------------------------------------------------------------

    def pause(self) -> None:
        state.pause(self._daemon.places.run_dir)
        self._daemon.loop.wake("pause")

    def resume(self, workloads: Sequence[str]) -> None:
        marks = released.read(self._daemon.places.state_dir)
        if workloads and released.ALL in marks:
            raise ValueError("every workload was released, one cannot be taken out of that; resume everything first")
        if strange := sorted(set(workloads) - marks):
            raise LookupError(f"{strange[0]} is not released")
        for mark in workloads or marks:
            released.unmark(self._daemon.places.state_dir, mark)
        if not workloads:
            state.unpause(self._daemon.places.run_dir)
        self._daemon.loop.wake("resume")

    def release(self, workloads: Sequence[str]) -> None:
        if self._daemon.report.state == "paused":
            raise NotNow("the daemon is paused and changes nothing; resume it first")
        known = {row.id for row in self._daemon.report.workloads}
        known |= {entry.workload for entry in self._daemon.baseline.entries.values()}
        if strange := sorted(set(workloads) - known):
            raise LookupError(f"no workload {strange[0]} is here")
        for workload in workloads or [released.ALL]:
            released.mark(self._daemon.places.state_dir, workload)
        self._daemon.loop.wake("release")

    # -- the agent -----------------------------------------------------------------------------------------------------

    def configured(self, section: str, whom: Whom) -> dict[str, Any]:
        """Which values hold, and who gave those that are not the default."""
        last = self._begun()
        cgroup = self._cgroup(section, whom)
        settings = agentwanted.settings(last.look.table, self._daemon.agent.overrides)
        config = settings.memcg if section == "memcg" else settings.compact
        document: dict[str, Any] = {"version": 1, "section": section, "cgroup": cgroup, "on": config is not None}
        document["origins"] = _origins(settings.origins, section, cgroup)
        if config is None:
            return {**document, "entries": [], "values": {}}
        if section == "memcg" and cgroup:
            assert settings.memcg is not None
            found = agentwanted.holding(settings.memcg, cgroup)
            return {**document, "entries": [_entry(one) for one in found], "values": {}}
        values = asdict(config)
        profile, entries = values.pop("profile", {}), values.pop("cgroups", ())
        return {**document, "entries": [_flat(one) for one in entries], "values": {**profile, **values}}

    def counted(self, section: str, whom: Whom) -> dict[str, Any]:
        """What that part did: its report; of one cgroup only its own figures."""
        cgroup = self._cgroup(section, whom)
        found = self._daemon.agent.report()
        report = getattr(found, section, None)
        if report is None:
            raise NotNow(f"this daemon runs no {section}")
        document: dict[str, Any] = asdict(report) if is_dataclass(report) and not isinstance(report, type) else {}
        if cgroup:
            document["cgroups"] = [one for one in document.get("cgroups", ()) if one.get("path") == cgroup]
            if not document["cgroups"]:
                raise LookupError(f"nothing is known of the cgroup {cgroup} (yet)")
        return {"version": 1, "section": section, "cgroup": cgroup, "doing": found.doing, "report": document}

    def change(self, wish: Wish) -> dict[str, Any]:
        """A set call. Nothing of it holds unless all of it is right, and is kept where that was asked for."""
        self._begun()
        cgroup = self._cgroup(wish.section, wish.whom)
        document = _object(wish.json)
        values, problems = agentreading.changes(wish.section, document, cgroup=cgroup)
        if problems:
            raise ValueError("; ".join(map(_said, problems)))
        overrides = self._daemon.agent.overrides
        if len(overrides) >= MOST_PLACES and (wish.section, cgroup) not in {(o.section, o.cgroup) for o in overrides}:
            raise NotNow(f"{MOST_PLACES} cgroups have been changed already; reset some, or use class files")
        with self._changing:
            kept = self._keep(wish, document, cgroup) if wish.persist else None
            where = f", kept in {kept.path}" if kept else ""
            origin = f"ebbtide {wish.section} set, {_now()}, {wish.who}{where}"
            self._daemon.change_agent(Override(section=wish.section, values=values, cgroup=cgroup, origin=origin))
        self._tell(wish.section, cgroup, f"{json.dumps(document)} by {wish.who}{where}")
        more = {"kept": kept.path, "notes": list(kept.notes)} if kept else {}
        return {**self.configured(wish.section, Whom(cgroup=cgroup)), **more}

    def reset(self, section: str, whom: Whom, who: str) -> dict[str, Any]:
        self._begun()
        cgroup = self._cgroup(section, whom)
        self._daemon.reset_agent(section, cgroup)
        self._tell(section, cgroup, f"reset by {who}")
        return self.configured(section, Whom(cgroup=cgroup))

    def _keep(self, wish: Wish, document: Mapping[str, Any], cgroup: str) -> persisted.Kept:
        if any(one.cgroup == cgroup and one.boot_id for one in self._daemon.workloads.values() if cgroup):
            said = (
                f"the cgroup {cgroup} goes with its container, so there is nothing to keep; set it without persisting"
            )
            raise ValueError(f"{said}, or name a cgroup above it")
        wanted = persisted.Wanted(section=wish.section, values=document, cgroup=cgroup, who=wish.who, when=_now())
        places = self._daemon.places
        try:
            return persisted.keep(wanted, places.config_dirs, places.state_dir, self._daemon.boot_id)
        except persisted.CannotKeep as error:
            raise NotNow(f"cannot be kept, so nothing was changed: {error}") from error
        except OSError as error:
            said = f"{error.filename or places.config_dirs[0]}: {error.strerror}"
            raise NotNow(f"cannot be kept, so nothing was changed: {said}") from error

    def _begun(self) -> Cycle:
        """The last cycle. Asked before anything is changed: an answer that says no must mean it."""
        if self._daemon.last is None:
            raise NotNow("the first cycle has not ended yet")
        return self._daemon.last

    def _cgroup(self, section: str, whom: Whom) -> str:
        """The path that is meant, "" for the node."""
        if whom == Whom():
            return ""
        if section != "memcg":
            raise ValueError(f"{section} has no settings of single workloads or cgroups")
        if whom.cgroup:
            return agentreading.cgroup_path(whom.cgroup)
        row = next((row for row in self._daemon.report.workloads if row.id == whom.workload), None)
        if row is None or not row.cgroup:
            raise LookupError(f"no workload {whom.workload} is here" if row is None else f"{row.name} has no cgroup")
        return row.cgroup

    def _tell(self, section: str, cgroup: str, text: str) -> None:
        where = f"{section}[{cgroup}]" if cgroup else section
        log.info(logfmt.line("event=set", what=where, text=text, cycle=self._daemon.cycles))
        self._daemon.feed.publish(
            Transition(time=_now(), cycle=self._daemon.cycles, kind="set", text=f"{where}: {text}")
        )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f'is no JSON: {error}; an example: {{"swap": true}}') from error
    if not isinstance(found, dict) or not found:
        raise ValueError('must be an object with keys, such as {"swap": true}')
    return found


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _said(problem: Problem) -> str:
    return ": ".join(filter(None, [problem.pointer.strip("/"), problem.message])) + (
        f" ({problem.hint})" if problem.hint else ""
    )


def _origins(origins: Mapping[str, str], section: str, cgroup: str) -> dict[str, str]:
    """Of the section's own keys, and, for a cgroup, of those that entries of just this path give."""
    found = {key.partition(".")[2]: who for key, who in origins.items() if key.startswith(f"{section}.")}
    if cgroup:
        for key, who in origins.items():
            place, _, name = key.rpartition(".")
            if place == f"{section}[{cgroup}]" or place.startswith(f"{section}[{cgroup}:"):
                found[name] = who
    return found


def _entry(entry: MemcgOverride) -> dict[str, Any]:
    return _flat(asdict(entry))


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in entry.items() if key != "profile"}
    return {**rest, **(entry.get("profile") or asdict(MemcgProfile()))}


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
