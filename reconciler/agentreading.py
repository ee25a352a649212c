"""The agent's sections of class files, and the set calls of the control API: mappings made into typed values.

A section is read key by key, so that a later file, or somebody at runtime, can change one key and leave the rest. What
was found goes through the merge as `Given` values under dotted names ("memcg.swap"; the name "memcg" alone says that
the section is there), and `sections` makes the configuration of what came out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from reconciler import agentkeys, checking, documents
from reconciler.agentconfig import (
    CompactConfig,
    MemagentConfig,
    MemcgConfig,
    MemcgOverride,
    MemcgProfile,
    PsiConfig,
    ReclaimConfig,
    SwapConfig,
)
from reconciler.agentkeys import Key
from reconciler.documents import Document, step
from reconciler.model import Given, MemoryClass, Origin, Problem, Severity

SECTIONS = tuple(agentkeys.SECTIONS)
CGROUP_MOUNT = "/sys/fs/cgroup"  # people copy whole paths from there
_ENTRY = ("path", "numa_id", "no_subdir")
_MOST_NODE = 1023  # CONFIG_NODES_SHIFT of the biggest kernels
_WHOLE = (int, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcgEntry:
    """One of `memcg: cgroups:` as it was written: keys that it does not give are the section's."""

    path: str
    numa_id: tuple[int, ...] = ()
    no_subdir: bool = False
    values: Mapping[str, Given] = field(default_factory=dict)

    def name(self) -> str:
        return agentkeys.bracketed(self.path, self.numa_id)


@dataclass(slots=True, kw_only=True)
class Reading:
    """Reads parts of one document, and collects what is wrong with them."""

    document: Document
    trusted: bool = True  # written by root: it may say where files are made
    problems: list[Problem] = field(default_factory=list)

    def say(self, pointer: str, message: str, hint: str = "", severity: Severity = Severity.ERROR) -> None:
        self.problems.append(self.document.problem(pointer, message, hint, severity))

    def given(self, pointer: str, value: object) -> Given:
        return Given(value=value, origin=Origin(file=self.document.file, line=self.document.mark(pointer)[0]))

    # -- sections of the node ----------------------------------------------------------------------------------------

    def sections(self, root: Mapping[str, Any]) -> Iterator[tuple[str, Given]]:
        """Dotted names and values of all sections that are here."""
        for name in SECTIONS:
            if name in root:
                yield from self._section(step("", name), name, root[name])

    def _section(self, pointer: str, name: str, value: object) -> Iterator[tuple[str, Given]]:
        if name == "psi" and value in ("required", "optional"):
            value = {"required": value == "required"}
        if value is None:
            said = f"{name}: has no keys, so it changes nothing"
            self.say(pointer, said, f"write {name}: {{}} for all defaults, or remove it", Severity.WARNING)
            return
        if (found := self._mapping(pointer, value)) is None:
            return
        yield name, self.given(pointer, None)
        known = {**agentkeys.SECTIONS[name], **({"cgroups": _CGROUPS} if name == "memcg" else {})}
        for key, read in self.values(pointer, found, known, name).items():
            at = step(pointer, key)
            if key == "guest_swap_path" and not self.trusted:
                self.say(at, "only a file of root's may say where files are made", "put it into /etc/nri/conf.d")
            yield f"{name}.{key}", self.given(at, tuple(self._entries(at, read)) if key == "cgroups" else read)

    def _mapping(self, pointer: str, value: object) -> Mapping[str, Any] | None:
        if isinstance(value, Mapping):
            return value
        words = "required, optional, or " if pointer == "/psi" else ""
        said = f"must be {words}a mapping (key: value), not {checking.show(value)}"
        self.say(pointer, said, _examples(pointer))
        return None

    def values(
        self, pointer: str, found: Mapping[str, Any], known: Mapping[str, Key], section: str = ""
    ) -> dict[str, Any]:
        """The values of all keys that are right; the others are told of."""
        result = {}
        for key, value in found.items():
            at = step(pointer, key)
            if key not in known:
                self.say(at, f'unknown key "{documents.shorten(key)}"', _meant(key, known, section))
                continue
            try:
                result[key] = known[key].read(value)
            except ValueError as error:
                self.say(at, str(error), f"for example {key}: {known[key].example}")
        return result

    # -- memcg: cgroups: -----------------------------------------------------------------------------------------------

    def _entries(self, pointer: str, listed: list[Any]) -> Iterator[MemcgEntry]:
        taken: dict[tuple[str, int | None], int] = {}
        for at, value in enumerate(listed):
            below = step(pointer, at)
            entry = self._entry(below, value) if self._mapping(below, value) is not None else None
            if entry is None:
                continue
            for node in entry.numa_id or (None,):
                first = taken.setdefault((entry.path, node), self.document.mark(below)[0])
                if first != self.document.mark(below)[0]:
                    which = "every other node" if node is None else f"node {node}"
                    said = f"{entry.path} on {which} is here twice; the first is in line {first}"
                    self.say(below, said, "put both into one entry, or give them different numa_id")
            yield entry

    def _entry(self, pointer: str, value: Mapping[str, Any]) -> MemcgEntry | None:
        own = {key: one for key, one in value.items() if key in _ENTRY}
        profile = {key: one for key, one in value.items() if key not in _ENTRY}
        named = self.values(pointer, own, _OF_ENTRY)
        known = {**agentkeys.PROFILE, **_OF_ENTRY}
        values = {
            key: self.given(step(pointer, key), one)
            for key, one in self.values(pointer, profile, known, "memcg").items()
        }
        if "path" not in value:
            self.say(pointer, 'the key "path" is missing', "for example path: /batch.slice")
        return MemcgEntry(**named, values=values) if "path" in named else None

    # -- classes -------------------------------------------------------------------------------------------------------

    def reclaim(self, pointer: str, value: object) -> ReclaimConfig | str | None:
        """A class's `reclaim:`: "never", or how its memory is probed."""
        if value == "never":
            return "never"
        if not isinstance(value, Mapping):
            said = f"must be never, or a mapping (key: value), not {checking.show(value)}"
            self.say(pointer, said, "for example reclaim: {slo: pressure, target: 0.1%}")
            return None
        found = self.values(pointer, value, agentkeys.RECLAIM)
        size, percent = found.pop("floor", (None, 0.0))
        if size is not None:
            found["floor"] = size
        return ReclaimConfig(**{_RECLAIM[key]: one for key, one in found.items()}, floor_percent=percent)

    def memagent(self, pointer: str, value: object) -> MemagentConfig | None:
        """A class's `memagent:`: whole numbers and switches, as a kata-agent takes them."""
        found = self._mapping(pointer, value)
        parts: dict[str, tuple[tuple[str, bool | int], ...]] = {}
        for name, below in (found or {}).items():
            at = step(pointer, name)
            if name not in agentkeys.OF_MEM_AGENT:
                hint = checking.did_you_mean(name, list(agentkeys.OF_MEM_AGENT))
                self.say(at, f'unknown key "{documents.shorten(name)}"', hint)
            elif (keys := self._mapping(at, below)) is not None:
                parts[name] = tuple(self._whole(at, name, keys))
        return None if found is None else MemagentConfig(**parts)

    def _whole(self, pointer: str, name: str, found: Mapping[str, Any]) -> Iterator[tuple[str, bool | int]]:
        known = {key: agentkeys.SECTIONS[name][key] for key in agentkeys.OF_MEM_AGENT[name]}
        for key, value in sorted(self.values(pointer, found, known, name).items()):
            if value != int(value):
                said = f"{value:g} is no whole number, and a kata-agent takes no other"
                self.say(step(pointer, key), said, f"for example {key}: {round(value) or 1}")
            yield key, value if isinstance(value, _WHOLE) else int(value)


# -- the keys of an entry ----------------------------------------------------------------------------------------------


def _listed(value: object) -> object:
    if isinstance(value, list):
        return value
    raise ValueError(f"must be a list of cgroups, not {checking.show(value)}")


def cgroup_path(value: object) -> str:
    """Below the mount, with a leading and no trailing slash; ValueError for what is no path."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"must be the path of a cgroup, not {checking.show(value)}")
    parts = [part for part in value.removeprefix(CGROUP_MOUNT).split("/") if part]
    if {".", ".."} & set(parts):
        raise ValueError("a path with . or .. is refused")
    return "/" + "/".join(parts)


def _numa_id(value: object) -> tuple[int, ...]:
    listed = value if isinstance(value, list) else [value]
    read = agentkeys.whole(0, _MOST_NODE)
    return tuple(sorted({int(str(read(one))) for one in listed}))


_CGROUPS = Key(read=_listed, example="[{path: /batch.slice, swap: true}]")
_OF_ENTRY: Mapping[str, Key] = {
    "path": Key(read=cgroup_path, example="/batch.slice"),
    "numa_id": Key(read=_numa_id, example="[0, 1]"),
    "no_subdir": Key(read=agentkeys.switch, example="true"),
}
_RECLAIM = {
    "slo": "slo",
    "target": "target_percent",
    "io_target": "io_target_percent",
    "interval": "interval_secs",
    "step": "step_percent",
    "most_step": "most_step_percent",
    "floor": "floor_bytes",
    "swappiness": "swappiness",
    "swap_used": "swap_used_percent",
    "write_rate": "write_bytes_per_sec",
}


def _meant(key: str, known: Mapping[str, Key], section: str) -> str:
    for name in agentkeys.unprefixed(key, section):
        if name in known:
            return f'did you mean "{name}"? (a Kata configuration.toml is read by `ebbtide import kata`)'
    return checking.did_you_mean(key, list(known))


def _examples(pointer: str) -> str:
    known = agentkeys.SECTIONS.get(pointer.rpartition("/")[2])
    return "" if known is None else "for example " + next(f"{key}: {one.example}" for key, one in known.items())


# -- set calls ---------------------------------------------------------------------------------------------------------


def changes(
    section: str, document: Mapping[str, object], *, cgroup: str = ""
) -> tuple[dict[str, object], tuple[Problem, ...]]:
    """What a set call changes: `document` has mem-agent's JSON names; for one cgroup only the keys of a profile.

    Nothing of it holds if there is a problem; pointers are those of the document.
    """
    reading = Reading(document=Document(file=f"{section} set", value=document))
    known = agentkeys.SECTIONS[section]
    if cgroup and section != "memcg":
        reading.say("", f"{section} has no settings of single cgroups", f"leave the cgroup {cgroup} out")
    found = reading.values("", document, agentkeys.PROFILE if cgroup else known, section)
    return found, tuple(reading.problems)


# -- what came out of the merge ----------------------------------------------------------------------------------------


def sections(given: Mapping[str, Given]) -> dict[str, Any]:
    """The fields of a ClassTable: psi, memcg, compact, swap, agent_origins."""
    result: dict[str, Any] = {"agent_origins": dict(_origins(given))}
    for name, build in _BUILDERS.items():
        if name in given:
            values = {key.partition(".")[2]: one.value for key, one in given.items() if key.startswith(f"{name}.")}
            result[name] = build(values)
    return result


def _origins(given: Mapping[str, Given]) -> Iterator[tuple[str, Origin]]:
    for name, one in given.items():
        yield name, one.origin
        for entry in one.value if name == "memcg.cgroups" else ():
            yield from ((f"memcg{entry.name()}.{key}", value.origin) for key, value in entry.values.items())


def _memcg(values: Mapping[str, Any]) -> MemcgConfig:
    profile = {key: value for key, value in values.items() if key in agentkeys.PROFILE}
    cgroups = tuple(_override(entry, profile) for entry in values.get("cgroups", ()))
    rest = {key: value for key, value in values.items() if key not in {*agentkeys.PROFILE, "cgroups"}}
    return MemcgConfig(profile=MemcgProfile(**profile), cgroups=cgroups, **rest)


def _override(entry: MemcgEntry, profile: Mapping[str, Any]) -> MemcgOverride:
    own = {key: one.value for key, one in entry.values.items()}
    return MemcgOverride(
        path=entry.path,
        numa_id=entry.numa_id,
        no_subdir=entry.no_subdir,
        profile=MemcgProfile(**{**profile, **own}),
    )


_BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "psi": lambda values: PsiConfig(**values),
    "memcg": _memcg,
    "compact": lambda values: CompactConfig(**values),
    "swap": lambda values: SwapConfig(**values),
}


# -- and back ----------------------------------------------------------------------------------------------------------


def reclaim_mapping(memory_class: MemoryClass) -> dict[str, Any] | str:
    """As `reclaim:` of a class would write it; only what is not the default."""
    config = memory_class.reclaim
    if config is None:
        return "never"
    names = {attribute: key for key, attribute in _RECLAIM.items()}
    changed = {
        one.name: getattr(config, one.name) for one in fields(config) if getattr(config, one.name) != one.default
    }
    percent = changed.pop("floor_percent", None)
    found = {names[name]: _plain(value) for name, value in changed.items()}
    return {**found, "floor": f"{percent:.12g}%"} if percent is not None else found


def memagent_mapping(config: MemagentConfig | None) -> dict[str, Any]:
    parts = {"memcg": config.memcg, "compact": config.compact} if config else {}
    return {name: dict(pairs) for name, pairs in parts.items() if pairs}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value  # an enumeration's member is its word
