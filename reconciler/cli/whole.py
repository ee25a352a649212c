"""The parser with the options of every verb, for what is made from it at build time: ebbtide(1), shell completion."""

import argparse

from reconciler.cli import main, options


def parser() -> argparse.ArgumentParser:
    """Unlike `main.build_parser`, which lets a verb speak only when it is used, this imports them all."""
    found = main.build_parser()
    verbs = next(action for action in found._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    for name, verb in verbs.choices.items():
        main.module(name).add_arguments(verb)
        options.add(verb, defaults=False)
        verb.verb = ""  # it has spoken
    return found
