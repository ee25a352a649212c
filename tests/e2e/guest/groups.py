"""Cgroups of our own beside containerd's, programs started in them, and records as people write them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.guest import ebbtide, memory, pods, poll

TOP = Path("/sys/fs/cgroup")
RECORDS = ebbtide.STATE / "workloads.d"
LOGS = Path("/root/groups")


class Group:
    """A cgroup; what runs in it is killed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, name: str, value: str) -> None:
        (self.path / name).write_text(value, encoding="ascii")

    def get(self, name: str) -> str:
        return (self.path / name).read_text(encoding="ascii").strip()

    def event(self, name: str) -> int:
        """Of memory.events, those of the groups below included."""
        return int(dict(line.split() for line in self.get("memory.events").splitlines())[name])

    def child(self, name: str, **knobs: str) -> "Group":
        """Knobs with _ for the dot: cpuset_mems."""
        self.set("cgroup.subtree_control", "+cpuset +memory")
        made = Group(self.path / name)
        made.path.mkdir()
        for knob, value in knobs.items():
            made.set(knob.replace("_", "."), value)
        return made

    def run(self, *words: str) -> "Program":
        return Program(self, words)


class Program:
    """Started inside the cgroup, so that every page of it is allocated there."""

    def __init__(self, group: Group, words: tuple[str, ...]) -> None:
        LOGS.mkdir(exist_ok=True)
        self.log = LOGS / f"{group.path.name}.log"
        enter = f'echo $$ > "{group.path}/cgroup.procs" && exec "$@"'
        with self.log.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(["sh", "-c", enter, "sh", *words], stdout=output, stderr=output)
        self.pid = self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self, text: str) -> bool:
        assert self.alive(), self.log.read_text(encoding="utf-8")
        return text in self.log.read_text(encoding="utf-8")


class Exerciser(Program):
    """Whose ranges are known by its own word."""

    def __init__(self, group: Group, *options: str) -> None:
        super().__init__(group, ("python3", pods.EXERCISER, *options))
        poll.until(f"{group.path.name} has filled its memory", lambda: self.said('"ranges"'), seconds=300)
        line = next(line for line in self.log.read_text(encoding="utf-8").splitlines() if '"ranges"' in line)
        told = json.loads(line)["ranges"]
        self.truth = [pods.Truth(role=each["role"], start=each["start"], end=each["end"]) for each in told]

    def ranges(self, *roles: str) -> list[pods.Truth]:
        return [each for each in self.truth if each.role in roles]

    def share_on(self, number: int, *roles: str) -> float:
        """Of the ranges' pages in memory."""
        found = memory.on_nodes(self.pid, self.ranges(*roles))
        return found.get(number, 0) / max(sum(found.values()), 1)


@contextmanager
def managed(name: str, class_name: str = "story", **knobs: str) -> Iterator[Group]:
    """A cgroup at the top, and its record: as an administrator would have a service managed. Knobs as of `child`."""
    (TOP / "cgroup.subtree_control").write_text("+cpuset +memory", encoding="ascii")
    group, record = Group(TOP / name), RECORDS / f"{name}.json"
    group.path.mkdir()
    for knob, value in knobs.items():
        group.set(knob.replace("_", "."), value)
    RECORDS.mkdir(parents=True, exist_ok=True)
    part = record.with_suffix(".new")
    part.write_text(json.dumps({"id": name, "cgroup": f"/{name}", "class": class_name}), encoding="utf-8")
    part.rename(record)
    try:
        yield group
    finally:
        record.unlink()
        group.set("cgroup.kill", "1")
        poll.until(f"{name} is empty", lambda: "populated 0" in group.get("cgroup.events"))
        for path, _, _ in os.walk(group.path, topdown=False):
            Path(path).rmdir()
        shutil.rmtree(LOGS, ignore_errors=True)
