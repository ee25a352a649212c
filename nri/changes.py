"""What the plugin wants done to the state directory. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to do to STATE, in this order."""

    publish: str | None = None  # configuration that was handed to us; "" = none any more
    of_root: bool = False  # it is a file's of root's, named with -config, and not from the runtime
    write: tuple[Workload, ...] = ()
    remove: tuple[str, ...] = ()
    keep: frozenset[str] | None = None  # if given, records of other containers are stale

    def then(self, later: "Changes") -> "Changes":
        """Both in one: only what comes of them in the end counts."""
        written = (
            _by_id(self.write) if later.keep is None else _by_id(one for one in self.write if one.id in later.keep)
        )
        fresh = _by_id(later.write)
        write = {**written, **fresh}
        remove = [*(one for one in self.remove if one not in fresh), *later.remove]
        return Changes(
            publish=self.publish if later.publish is None else later.publish,
            of_root=self.of_root if later.publish is None else later.of_root,
            write=tuple(one for ident, one in write.items() if ident not in later.remove),
            remove=tuple(dict.fromkeys(remove)),
            keep=self._keep(later),
        )

    def _keep(self, later: "Changes") -> frozenset[str] | None:
        if self.keep is None:
            return later.keep
        kept = (self.keep | _by_id(later.write).keys()) - set(later.remove)
        return kept if later.keep is None else kept & later.keep


def _by_id(workloads: Iterable[Workload]) -> dict[str, Workload]:
    return {workload.id: workload for workload in workloads}
