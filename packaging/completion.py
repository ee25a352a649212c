"""Shell completion from the parser itself, by shtab: `python3 packaging/completion.py bash|zsh`."""

import argparse
import sys
from collections.abc import Iterator

import shtab

from reconciler.cli import whole

WORDS = {"WORKLOAD": "workloads", "CLASS": "classes"}
PREAMBLE = {
    "bash": "".join(
        f'_ebbtide_{what}() {{ compgen -W "$(ebbtide complete {what} 2>/dev/null)" -- "$1"; }}\n'
        for what in WORDS.values()
    ),
    "zsh": "".join(
        f'_ebbtide_{what}() {{ local -a found; found=(${{(f)"$(ebbtide complete {what} 2>/dev/null)"}});'
        f" compadd -a found; }}\n"
        for what in WORDS.values()
    ),
}


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from actions(verb)


def completion(shell: str) -> str:
    parser = whole.parser()
    for action in actions(parser):
        if action.choices is not None and not isinstance(action, argparse._SubParsersAction):
            action.choices = list(action.choices)  # shtab asks for the first one by number
        if action.metavar in WORDS:
            function = f"_ebbtide_{WORDS[str(action.metavar)]}"
            action.complete = {"bash": function, "zsh": function}  # type: ignore[attr-defined]  # shtab looks for it
        elif action.metavar in {"FILE", "PATH"}:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell, preamble=PREAMBLE))


if __name__ == "__main__":
    print(completion(sys.argv[1]))
