"""What somebody set at runtime and wants to be kept: a drop-in of our own, in the highest drop-in directory.

It is a class file like any other: people may read, edit and remove it. A new version is read by the loader before it
takes the place of the old one, and keeps all that the old one says; comments in it are not kept, which its head says.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reconciler import agentreading, classes, classfiles, documents, files, schemas
from reconciler.declarations import ClassText, ParsedFile

NAME = "90-ebbtide-runtime.yaml"
_HEAD = """\
# Written by `ebbtide {section} set --persist` on {when}, for {who}.
# The next such call writes this file anew: what it says stays, comments do not.
"""


class CannotKeep(Exception):
    """Nothing was written; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A set call, with its values as they were written."""

    section: str  # memcg | compact
    values: Mapping[str, Any]
    cgroup: str = ""  # below the mount; "" = the node
    who: str = ""
    when: str = ""  # RFC 3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    path: str
    notes: tuple[str, ...] = ()  # what will count above it after a restart


def keep(wanted: Wanted, config_dirs: Sequence[str], state_dir: str | os.PathLike[str], boot_id: str) -> Kept:
    """Add this to the drop-in. Raises CannotKeep, and OSError where the directory cannot be written."""
    path = os.path.join(config_dirs[0], NAME)
    others, old = _read(path, config_dirs, state_dir, boot_id)
    if wanted.cgroup and (rival := next(_givers(others, "memcg.cgroups"), None)):
        said = f"{rival[1]} has `cgroups:` of its own, and one file's list takes the place of another's"
        raise CannotKeep(f"{said}: add an entry for {wanted.cgroup} there")
    is_on = wanted.section in old or any(True for _ in _givers(others, wanted.section))
    new = merged(old, wanted, is_on=is_on)
    text = _HEAD.format(section=wanted.section, when=wanted.when, who=wanted.who or "somebody")
    text += yaml.safe_dump(new, sort_keys=False, allow_unicode=True, width=100)
    _check(path, text)
    os.makedirs(config_dirs[0], mode=0o755, exist_ok=True)
    files.write_atomically(Path(path), text, mode=0o644, durable=True)
    return Kept(path=path, notes=tuple(_above(others, wanted, state_dir)))


def merged(old: Mapping[str, Any], wanted: Wanted, *, is_on: bool) -> dict[str, Any]:
    """The file's new content. `is_on`: the section is in some file already.

    A section that is there turns its part on. To set a key of one that is nowhere must not do that behind the back of
    whoever set it, so it is written as disabled: what runs after a restart is what runs now.
    """
    section = dict(old.get(wanted.section) or {})
    if not is_on and (wanted.cgroup or "disabled" not in wanted.values):
        section["disabled"] = True
    if wanted.cgroup:
        section["cgroups"] = _with_entry(section.get("cgroups") or [], wanted)
    else:
        section |= wanted.values
    return {**old, wanted.section: section}


def _with_entry(entries: Sequence[Mapping[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    """Every entry of this very path is changed, those of single memory nodes, too."""
    path = agentreading.cgroup_path(wanted.cgroup)
    found = [agentreading.cgroup_path(entry["path"]) == path for entry in entries]
    changed = [{**entry, **wanted.values} if same else dict(entry) for entry, same in zip(entries, found, strict=True)]
    return changed if any(found) else [*changed, {"path": path, **wanted.values}]


def _read(
    path: str, config_dirs: Sequence[str], state_dir: str | os.PathLike[str], boot_id: str
) -> tuple[dict[str, ParsedFile], dict[str, Any]]:
    """The other class files that count, in their order, and what is in ours by now."""
    if os.path.islink(path) or (os.path.exists(path) and not os.path.getsize(path)):
        raise CannotKeep(f"{path} is masked (a link, or empty), so nothing is kept there: remove it first")
    texts = classfiles.installed(state_dir, config_dirs, boot_id)
    own = next((text for text in texts if text.path == path), None)
    loaded = classes.load([text for text in texts if text.path != path], schemas.load())
    return dict(loaded.files), _mapping(own) if own else {}


def _mapping(own: ClassText) -> dict[str, Any]:
    if own.problem is not None:
        raise CannotKeep(f"{own.path}: {own.problem.message}: {own.problem.hint}")
    found = documents.parse(own.text, own.path)
    if not isinstance(found, documents.Document):
        raise CannotKeep(f"{found[0].place()}: {found[0].message}: mend that file, or remove it")
    if found.value is not None and not isinstance(found.value, dict):
        raise CannotKeep(f"{own.path} is no class file: mend it, or remove it")
    _check(own.path, own.text)
    return found.value or {}


def _check(path: str, text: str) -> None:
    loaded = classes.load([ClassText(path=path, name=NAME, text=text)], schemas.load())
    wrong = next((one for one in loaded.problems if path in loaded.failed), None)
    if wrong is not None:
        raise CannotKeep(f"{wrong.place()}: {wrong.pointer}: {wrong.message}; {wrong.hint}")


def _givers(others: Mapping[str, ParsedFile], name: str) -> Iterator[tuple[str, str]]:
    """Files that say something of this section or key: their paths, and the places in them."""
    for path, file in others.items():
        if name in file.agent:
            yield path, str(file.agent[name].origin)


def _above(others: Mapping[str, ParsedFile], wanted: Wanted, state_dir: str | os.PathLike[str]) -> Iterator[str]:
    """Drop-ins are merged by name, and what the runtime handed over comes after all of them."""
    for key in () if wanted.cgroup else wanted.values:
        for path, place in _givers(others, f"{wanted.section}.{key}"):
            handed = os.path.dirname(path) == classfiles.handed_folder(state_dir)
            if handed or os.path.basename(path) > NAME:
                yield f"{place} gives {wanted.section}: {key}, too, and counts again once the daemon has restarted"
