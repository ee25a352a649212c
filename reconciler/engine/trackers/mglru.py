"""How much memory was last used when, by the kernel's generations: page-exact amounts, no addresses (Linux 6.1).

Each round ages the workload's cgroups once, so that a generation spans one scan interval: its pages were last used
before the next younger one was made. Nothing can be moved by this, but hot pages that are scattered more finely than
any region are counted right.
"""

from collections.abc import Mapping

from reconciler.engine.processes import Process
from reconciler.engine.trackers.tracker import Means, Seen, nothing
from reconciler.report import AgeBin
from sysfs import mglru
from sysfs.errors import Gone, Rejected
from sysfs.mglru import Lruvec


class Mglru:
    note = "tracker mglru knows how much memory is used, not where: it measures, and moves nothing"

    def __init__(self, means: Means) -> None:
        self._tree, self._directories = means.tree, means.directories
        self._mount, self._page_size = means.features.cgroup_mount, means.features.page_size
        self._found = self._mine()  # fails at once where it cannot be read

    def roster(self, known: Mapping[int, Process]) -> None:
        """Cgroups count, whoever is in them."""

    def begin(self, known: Process) -> None:
        """Nothing is known of a single process."""

    def look(self, known: Process) -> Seen:
        return Seen(accesses=nothing(len(known.regions)), writes=nothing(len(known.regions)))

    def finish(self) -> None:
        for each in self._mine():
            try:
                mglru.age(self._tree, each)
            except (Gone, Rejected):  # the cgroup was removed meanwhile: normal life
                continue
        self._found = self._mine()

    def amounts(self) -> tuple[AgeBin, ...]:
        return tuple(bin_ for each in self._found for bin_ in _bins(each, self._page_size))

    def close(self) -> None:
        """Generations are the kernel's own, nothing is left behind."""

    def _mine(self) -> tuple[Lruvec, ...]:
        """Of the workload's cgroups and of what is below them."""
        tops = tuple(path.removeprefix(self._mount) or "/" for path in self._directories())
        return tuple(each for each in mglru.read(self._tree) if any(_within(each.path, top) for top in tops))


def _within(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _bins(lruvec: Lruvec, page_size: int) -> list[AgeBin]:
    """Youngest first. Pages of a generation were last used before the next younger one was made."""
    generations = lruvec.generations[::-1]
    ages = (0, *(each.age_ms for each in generations[:-1]))
    return [
        AgeBin(
            cgroup=lruvec.path,
            node=lruvec.node,
            age_ms=age,
            anon_pages=each.anon_pages,
            file_pages=each.file_pages,
            page_bytes=page_size,
        )
        for age, each in zip(ages, generations, strict=True)
    ]
