"""`ebbtide kubelet`: the configuration of the kubelet's Memory Manager, looked at without a kubelet."""

import argparse

from reconciler.cli import kubelet_check, kubelet_plan, kubelet_render, kubelet_show
from reconciler.cli.failure import Exit, Failure

DEEDS = {
    "check": kubelet_check.run,
    "render": kubelet_render.run,
    "plan": kubelet_plan.run,
    "show": kubelet_show.run,
}


HELP = "check: would a kubelet start; render: the drop-in of the class files; plan: what to do; show: what is pinned"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("deed", choices=tuple(DEEDS), help=HELP)
    add("--config", metavar="FILE", help="the kubelet's main file; without it that of this node")
    add("--flags", metavar="TEXT", help='the kubelet\'s command line, such as "--kube-reserved=memory=1Gi"')
    add("--here", action="store_true", help="of check: hold files that are named against this machine, too")
    add("--for-version", metavar="1.N", type=version, help="which kubelet will read it (the newest)")
    parser.epilog = "For check --config-dir is the kubelet's own drop-in directory."


def check_words(words: list[str]) -> None:
    """To argparse a text that begins with a dash is an option: the two words are made one."""
    for index, word in enumerate(words[:-1]):
        if word == "--flags" and words[index + 1].startswith("-"):
            words[index : index + 2] = [f"{word}={words[index + 1]}"]
            break


def version(text: str) -> tuple[int, int]:
    major, dot, minor = text.removeprefix("v").partition(".")
    minor = minor.partition(".")[0]
    if not dot or major != "1" or not minor.isdecimal():
        raise Failure("--for-version", f"{text} is no version of Kubernetes", hint="write 1.35", code=Exit.USAGE)
    return 1, int(minor)


def run(args: argparse.Namespace) -> int:
    return DEEDS[args.deed](args)
