"""The policy that moves nothing: for tracking or routines alone."""

from collections.abc import Sequence

from reconciler.engine.policies.policy import Move, View


class Stub:
    note = ""
    resets = locates = False

    def observe(self, view: View) -> None:
        del view

    def moves(self, view: View) -> Sequence[Move]:
        del view
        return ()

    def dump(self, words: tuple[str, ...], view: View) -> str:
        del words, view
        return "the stub policy has nothing to dump"
