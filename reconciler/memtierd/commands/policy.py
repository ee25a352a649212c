"""`policy`: make, start, stop and look into the policy."""

from collections.abc import Iterator

from reconciler.engineconfig import EngineConfig
from reconciler.memtierd import drafts, native, words
from reconciler.memtierd.commands import making
from reconciler.memtierd.commands.command import Command, Wrong
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.drafts import Source
from reconciler.memtierd.flags import Flag, Given

_NAMES = making.names(words.POLICIES)
_NONE = "no policy, create one with -create NAME"


def run(given: Given, desk: Desk) -> Iterator[str]:
    making.checked(given, desk)
    if "create" in given:
        desk.policy = making.named("policy", given.text("create"), _NAMES)
        desk.policy_config = None
        yield "policy created"
    name = desk.policy or _name(desk.host.config("policy"))
    if not name:
        raise Wrong(_NONE)
    if (source := making.source(given, desk)) is not None:
        yield from _configure(desk, name, source)
    if "start" in given:
        _start(desk, name)
    if "config-dump" in given:
        yield drafts.show(native.mapping(_config(desk, name), desk.page_size)["policy"].get("config", {}))
    if "stop" in given:
        desk.host.stop("policy")
        yield "policy stopped"
    if "dump" in given:
        yield _dump(desk, given.words)


def _name(config: EngineConfig | None) -> str:
    return config.policy_name if config is not None else ""


def _configure(desk: Desk, name: str, source: Source) -> Iterator[str]:
    """A policy that runs begins afresh with it."""
    draft = drafts.policy(name, source)
    yield from draft.notes
    desk.policy, desk.policy_config = name, draft.config
    if desk.host.running("policy") and _name(desk.host.config("policy")) == name:
        desk.host.start("policy", draft.config)


def _start(desk: Desk, name: str) -> None:
    config = _config(desk, name)
    if not (desk.host.running("policy") and desk.host.config("policy") == config):
        desk.host.start("policy", config)


def _config(desk: Desk, name: str) -> EngineConfig:
    """The one that was given here, or what runs; a policy that was only created must do without one."""
    if desk.policy_config is not None:
        return desk.policy_config
    running = desk.host.config("policy")
    if not desk.policy and running is not None:
        return running
    return drafts.policy(name, Source(text="", page_size=desk.page_size)).config


def _dump(desk: Desk, asked: tuple[str, ...]) -> str:
    session = desk.host.session("policy")
    if session is None:
        raise Wrong("the policy was not started yet: -start")
    return session.dump_policy(asked)


COMMAND = Command(
    name="policy",
    summary="make, start and stop the policy, look into it",
    run=making.listing(_NAMES, run),
    words="[WORD...]",
    flags=(
        Flag(name="ls", text="list the policies that there are"),
        Flag(name="create", value="NAME", text="make a new policy"),
        *making.CONFIG,
        Flag(name="start", text="start it"),
        Flag(name="stop", text="stop it"),
        Flag(
            name="dump",
            text="print what it knows: accessed [LIMIT,LIMIT[,LIMIT...] [PID[,PID...]]], and more by policy",
        ),
    ),
)
