"""What the plugin decides by: classes, this kernel's cgroup files, and what an administrator has said meanwhile.

Read beside the answers to the runtime, never for one of them (nri.background); parsed only if a text differs.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nri.adjust import View
from reconciler import classes, logfmt, released, schemas
from reconciler.declarations import ClassText
from reconciler.model import Features
from sysfs import boot, cgroup
from sysfs.errors import KernelError
from sysfs.tree import Tree

log = logging.getLogger("ebbtide.nri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    tree: Tree
    state_dir: str
    run_dir: str


ReadClasses = Callable[[], classes.Loaded | None]  # None = nothing changed


class Outlook:
    def __init__(self, places: Places, read_classes: ReadClasses) -> None:
        self._places = places
        self._read_classes = read_classes
        self._classes = classes.Loaded()
        self._features = Features(kernel="", page_size=os.sysconf("SC_PAGE_SIZE"))
        # Until the first look has succeeded nothing is managed, and nothing rejected.
        boot_id = boot.boot_id(places.tree)
        self.view = View(table=self._classes.table, features=self._features, boot_id=boot_id, uncertain=True)

    def refresh(self) -> None:
        """Replace the view as a whole: another thread may be reading it."""
        self._refresh_classes()
        self.view = View(
            table=self._classes.table,
            features=self._known_features(),
            boot_id=self.view.boot_id,
            uncertain=bool(self._classes.failed),
            paused=os.path.exists(f"{self._places.run_dir}/paused"),
            released=released.read(self._places.state_dir),
        )

    def _refresh_classes(self) -> None:
        fresh = self._read_classes()
        if fresh is None:
            return
        before, self._classes = self._classes.problems, fresh
        for problem in fresh.problems:
            if problem not in before:
                place = f"{problem.place()}{problem.pointer}"
                log.warning(logfmt.line(f"event=class-file-{problem.severity}", place=place, message=problem.message))

    def _known_features(self) -> Features:
        """Looked for until found: early at boot there may be no cgroup yet that has memory files."""
        if not self._features.knobs:
            self._features = features(self._places.tree)
        return self._features


def features(tree: Tree) -> Features:
    """Only what the plugin needs to know; nothing is tried out here, that is the daemon's part."""
    try:
        mount = cgroup.mount(tree)
        knobs = cgroup.knob_names(tree, mount) if mount else frozenset()
    except KernelError:
        mount, knobs = "", frozenset()
    size = os.sysconf("SC_PAGE_SIZE")
    return Features(kernel=boot.kernel(tree), page_size=size, cgroup_mount=mount, knobs=knobs)


def class_reader(
    find: Callable[[], tuple[ClassText, ...]], remembered: Mapping[str, classes.ParsedFile]
) -> ReadClasses:
    """The loader that the daemon uses, too; a file that breaks keeps its last good version."""
    texts: tuple[ClassText, ...] | None = None
    files = remembered

    def read() -> classes.Loaded | None:
        nonlocal texts, files
        found = find()
        if found == texts:
            return None
        texts = found
        loaded = classes.load(found, schemas.load(), files, os.sysconf("SC_PAGE_SIZE"))
        files = loaded.files
        return loaded

    return read
