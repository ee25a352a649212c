"""A Kata configuration.toml as a class file: mem-agent's keys and the guest's swap, and what could not be taken over.

Kata turns these keys into parameters of its guest; we read them for a node (or a guest) that Ebbtide runs on. What the
file says is checked as in a class file, and a value that cannot hold is left out with the reason, so that the result is
always valid.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler import agentkeys, checking, documents

_PREFIX = {"memcg": "memcg_", "compact": "compact_"}
_SWAP_KEYS = ("enable_guest_swap", "guest_swap_path", "guest_swap_size_percent", "guest_swap_create_threshold_secs")
_FREE_PAGES = "reclaim_guest_freed_memory"
_HEADER = re.compile(r"^\s*\[\s*([^\]]+?)\s*\]\s*(?:#.*)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that was not taken over as it stands."""

    key: str
    line: int  # 0 = unknown
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    text: str  # a class file
    taken: int  # how many keys
    notes: tuple[Note, ...]


def convert(text: str, name: str) -> Conversion:
    """`name` is the file's, for the first line. ValueError where it is no TOML, or has nothing of what we look for."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not valid TOML: {error}") from error
    reader = _Reader(document, dict(_lines(text)))
    sections = {key: values for key, values in reader.sections().items() if values is not None}
    if not sections and not reader.notes:
        raise ValueError("has neither [agent.kata.mem_agent] nor guest swap keys")
    taken = sum(map(len, sections.values()))
    return Conversion(text=_written(name, sections, reader.notes), taken=taken, notes=tuple(reader.notes))


class _Reader:
    def __init__(self, document: Mapping[str, Any], lines: Mapping[str, int]) -> None:
        self._document, self._lines = document, lines
        self.notes: list[Note] = []

    def sections(self) -> dict[str, dict[str, object] | None]:
        agent = self._table("agent", "kata", "mem_agent")
        swap = self._swap()
        return {"memcg": self._part(agent, "memcg"), "compact": self._part(agent, "compact"), "swap": swap}

    def _table(self, *path: str) -> Mapping[str, Any]:
        found: Any = self._document
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _note(self, where: str, why: str) -> None:
        self.notes.append(Note(key=where.rpartition(".")[2], line=self._lines.get(where, 0), why=why))

    # -- mem-agent -----------------------------------------------------------------------------------------------------

    def _part(self, agent: Mapping[str, Any], section: str) -> dict[str, object] | None:
        """All keys of a part; a mem-agent that is not enabled leaves both parts off."""
        if section == "memcg":
            self._unknown(agent)
        if not agent:
            return None
        result: dict[str, object] = {}
        if agent.get("mem_agent_enable") is not True:
            result["disabled"] = True
            if section == "memcg":
                self._note("agent.kata.mem_agent.mem_agent_enable", "is not true, so both parts are disabled here, too")
        for key, own in _names(section).items():
            if key in agent:
                self._take(result, f"agent.kata.mem_agent.{key}", agentkeys.SECTIONS[section][own], own, agent[key])
        return result

    def _take(self, result: dict[str, object], where: str, key: agentkeys.Key, own: str, value: object) -> None:
        try:
            read = key.read(value)
        except ValueError as error:
            self._note(where, f"{error}; left out, so that the default holds")
            return
        if not (own == "disabled" and result.get("disabled")):
            result[own] = read

    def _unknown(self, agent: Mapping[str, Any]) -> None:
        known = ["mem_agent_enable", *_names("memcg"), *_names("compact")]
        for key in agent:
            if key not in known:
                hint = checking.did_you_mean(key, known)
                self._note(f"agent.kata.mem_agent.{key}", f"mem-agent has no such key; {hint}")

    # -- the hypervisor ------------------------------------------------------------------------------------------------

    def _swap(self) -> dict[str, object] | None:
        """Of the hypervisor that enables it, else of the first that has keys of it."""
        found = {name: one for name, one in self._table("hypervisor").items() if isinstance(one, Mapping)}
        for name, one in found.items():
            self._others(f"hypervisor.{name}", one)
        having = [name for name, one in found.items() if set(_SWAP_KEYS) & one.keys()]
        chosen = next((name for name in having if found[name].get("enable_guest_swap") is True), next(iter(having), ""))
        for name in having:
            if name != chosen:
                self._note(f"hypervisor.{name}", f"its guest swap is left out: that of {chosen} counts")
        result: dict[str, object] = {}
        for key in _SWAP_KEYS if chosen else ():
            if key in found[chosen]:
                self._take(result, f"hypervisor.{chosen}.{key}", agentkeys.SWAP[key], key, found[chosen][key])
        return result or None

    def _others(self, where: str, hypervisor: Mapping[str, Any]) -> None:
        if _FREE_PAGES in hypervisor:
            why = "is the host's, and stays in this file: without it freed memory does not reach the host"
            self._note(f"{where}.{_FREE_PAGES}", f"{why} (`ebbtide doctor` in the guest says whether it works)")
        if "agent.mem_agent_" in str(hypervisor.get("kernel_params", "")):
            why = "has parameters of mem-agent, which are not read: write them below [agent.kata.mem_agent]"
            self._note(f"{where}.kernel_params", why)


def _names(section: str) -> dict[str, str]:
    """Kata's name -> ours. Two have the part's name in themselves already."""
    result = {}
    for key in agentkeys.OF_MEM_AGENT[section]:
        plain = "disable" if key == "disabled" else key
        result[plain if plain.startswith(_PREFIX[section]) else _PREFIX[section] + plain] = key
    return result


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Dotted names and the lines where they stand, of keys that are written plainly below their table's header."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = header[1].replace(" ", "").replace('"', "")
            yield table, number
        elif (key := line.partition("=")[0].strip()) and "=" in line and not key.startswith("#"):
            yield f"{table}.{key}", number


# -- writing -----------------------------------------------------------------------------------------------------------


def _written(name: str, sections: Mapping[str, Mapping[str, object]], notes: list[Note]) -> str:
    lines = [f"# What {_comment(name)} says of memory, as a class file for the node that Ebbtide runs on."]
    if notes:
        lines += ["#", "# Not as it stands there:"]
        lines += [
            f"# - {_comment(each.key)}{f' (line {each.line})' if each.line else ''}: {_comment(each.why)}"
            for each in notes
        ]
    for section, values in sections.items():
        lines += ["", f"{section}:" if values else f"{section}: {{}}"]
        lines += [f"  {key}: {_scalar(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """On one line, whatever a stranger's file says."""
    return documents.shorten(text, 400)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    return f'"{value}"' if isinstance(value, str) else str(value)
