"""Which workloads the words on a command line mean: namespace/pod/container, namespace/pod, an id, or its beginning."""

import difflib
from collections.abc import Mapping, Sequence

from reconciler.cli.failure import Exit, Failure


def all_of(names: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """Ids for the words, in the order of `names` (id -> name); without words all of them."""
    chosen = {workload for word in words for workload in _meant(names, word)}
    return [workload for workload in names if workload in chosen or not words]


def one(names: Mapping[str, str], word: str) -> str:
    """The one id for a word; a Failure when it could be several."""
    found = _meant(names, word)
    if len(found) > 1:
        choices = ", ".join(sorted(names[workload] for workload in found))
        raise Failure(word, f"could be each of {choices}", hint="write more of it", code=Exit.UNKNOWN)
    return found[0]


def _meant(names: Mapping[str, str], word: str) -> list[str]:
    exact = [workload for workload, name in names.items() if word in (workload, name)]
    begin = [workload for workload, name in names.items() if workload.startswith(word) or name.startswith(f"{word}/")]
    if not (word and (exact or begin)):
        raise Failure(word, "no such workload", hint=_hint(names, word), code=Exit.UNKNOWN)
    return exact or begin


def _hint(names: Mapping[str, str], word: str) -> str:
    close = difflib.get_close_matches(word, [*names.values()], n=1)
    return f"did you mean {close[0]}?" if close else "`ebbtide status` lists them"
