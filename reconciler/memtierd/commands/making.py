"""What policy, tracker, pidwatcher and routines have in common: -ls, -create, -config, -config-file, and who may."""

from collections.abc import Iterator

from reconciler import checking
from reconciler.memtierd import words
from reconciler.memtierd.commands.command import Run, Wrong, no_words
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.drafts import Source
from reconciler.memtierd.flags import Flag, Given

CONFIG = (
    Flag(name="config", value="JSON", text="configure it; JSON, or YAML in quotes"),
    Flag(name="config-file", value="FILE", text="configure it with what the file says"),
    Flag(name="config-dump", text="print its configuration"),
)


def changeable(given: Given, desk: Desk, *flags: str) -> None:
    """Refuse these flags where the configuration comes from elsewhere."""
    asked = [flag for flag in flags if flag in given]
    if asked and desk.host.fixed:
        raise Wrong(f"-{asked[0]}: {desk.host.fixed}")


def checked(given: Given, desk: Desk) -> None:
    """What policy, tracker and routines ask before anything else."""
    if "dump" not in given:
        no_words(given)
    changeable(given, desk, "create", "config", "config-file", "start", "stop")


def source(given: Given, desk: Desk) -> Source | None:
    """What -config or -config-file gives; None without both."""
    size = desk.page_size
    if "config" in given and "config-file" in given:
        raise Wrong("-config and -config-file say the same thing twice")
    if "config-file" in given:
        path = given.text("config-file")
        return Source(text=desk.host.read_file(path), file=path, page_size=size)
    return Source(text=given.text("config"), page_size=size) if "config" in given else None


def listing(known: tuple[str, ...], run: Run) -> Run:
    """With -ls it lists what can be made, and does nothing else."""

    def listed(given: Given, desk: Desk) -> Iterator[str]:
        if "ls" not in given:
            return run(given, desk)
        no_words(given)
        return iter(["\n".join(known)])

    return listed


def names(kind: words.Kind) -> tuple[str, ...]:
    """All that can be made, in the order of -ls."""
    return tuple(sorted(kind.names))


def named(kind: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise Wrong(f"unknown {kind} {checking.show(name)}; {checking.did_you_mean(name, known)}")
    return name
