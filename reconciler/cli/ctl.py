"""`ebbtide ctl`: what people who come from Kata type as kata-agent-ctl, for mem-agent's two calls.

Without `connect` our own daemon is told; with it a kata-agent, over its socket, a hypervisor's (hybrid vsock) or vsock.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler import agentreading, checking, documents, quantities
from reconciler.agentconfig import MemagentConfig
from reconciler.cli import asking, options, render
from reconciler.cli.failure import Exit, Failure

SECTIONS = {"MemAgentMemcgSet": "memcg", "MemAgentCompactSet": "compact"}
EXAMPLE = """MemAgentMemcgSet json://{"period_secs":300}"""
_MOST_BYTES = 1 << 20
_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    name: str
    section: str
    text: str  # JSON


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("connect", nargs="?", choices=["connect"], help="speak to a kata-agent, and not to our daemon")
    add(
        "-c",
        "--cmd",
        nargs="+",
        action="extend",
        metavar="CMD",
        default=[],
        help=f"'{EXAMPLE}', or file:///PATH; or list",
    )
    add("--ignore-errors", action="store_true", help="go on after a command that failed")
    agent = parser.add_argument_group("with connect")
    add = agent.add_argument
    add(
        "--server-address",
        metavar="URI",
        help="unix:///PATH, unix://@ABSTRACT, hvsock:///PATH:PORT or vsock://CID:PORT",
    )
    add("--hybrid-vsock", action="store_true", help="the unix socket is a hypervisor's")
    add("--hybrid-vsock-port", type=int, metavar="PORT", help="the agent's port in the virtual machine (1024)")
    add("--timeout", metavar="TIME", help=f"for each command, such as 5s or 500ms ({_SECONDS:g}s)")
    own = parser.add_argument_group("without connect")
    add = own.add_argument
    add("--workload", metavar="WORKLOAD", help="MemAgentMemcgSet of this workload's cgroup only")
    add("--cgroup", metavar="PATH", help="MemAgentMemcgSet of this cgroup only")
    add("--persist", action="store_true", help="also after a restart of the daemon")


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    if args.cmd == ["list"]:
        render.show([*SECTIONS, f"for example: --cmd '{EXAMPLE}'"])
        return Exit.FINE
    commands = [_command(text) for text in args.cmd]
    if not commands:
        raise Failure("ctl", "there is no command", hint=f"--cmd '{EXAMPLE}'", code=Exit.USAGE)
    perform = _to_agent(args) if args.connect else _to_daemon(common, args)
    return _all(common, commands, perform, go_on=args.ignore_errors)


def _all(common: options.Options, commands: list[Command], perform: Callable[[Command], Any], *, go_on: bool) -> int:
    answers, failed = [], False
    for command in commands:
        try:
            answers.append({"command": command.name, "error": "", "answer": perform(command)})
        except Failure as failure:
            if not go_on:
                raise
            failed = True
            answers.append({"command": command.name, "error": str(failure), "answer": None})
    if common.json:
        render.show_document({"version": 1, "commands": answers})
    else:
        render.show([f"{one['command']}: {one['error'] or 'done'}" for one in answers])
    return Exit.FOUND if failed else Exit.FINE


def _command(text: str) -> Command:
    name, _, rest = text.strip().partition(" ")
    if name not in SECTIONS:
        hint = checking.did_you_mean(name, list(SECTIONS)) if name else f"such as '{EXAMPLE}'"
        raise Failure(
            "--cmd", f"{documents.shorten(name)!r} is none of mem-agent's commands", hint=hint, code=Exit.USAGE
        )
    scheme, _, body = rest.strip().partition("://")
    if scheme == "file":
        body = _file(body)
    elif scheme != "json":
        raise Failure(
            "--cmd", f"{name} needs json://{{...}} or file:///PATH", hint=f"such as '{EXAMPLE}'", code=Exit.USAGE
        )
    return Command(name=name, section=SECTIONS[name], text=body)


def _file(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(path, getattr(error, "strerror", None) or "is not UTF-8", code=Exit.USAGE) from error


# -- our daemon --------------------------------------------------------------------------------------------------------


def _to_daemon(common: options.Options, args: argparse.Namespace) -> Callable[[Command], Any]:
    for name in ("server_address", "hybrid_vsock", "hybrid_vsock_port", "timeout"):
        if getattr(args, name):
            hint = "ebbtide ctl connect --server-address ..."
            raise Failure(f"--{name.replace('_', '-')}", "is for connect", hint=hint, code=Exit.USAGE)
    target = {"workload": asking.workload(common, args.workload)} if args.workload else {"cgroup": args.cgroup or ""}

    def perform(command: Command) -> Any:
        with asking.daemon(common, command.name) as ends:
            return ends.change(command.section, command.text, persist=args.persist, **target)

    return perform


# -- a kata-agent ------------------------------------------------------------------------------------------------------


def _to_agent(args: argparse.Namespace) -> Callable[[Command], Any]:
    from reconciler.agent import kata_agent, kata_rules

    address, seconds = _address(args), _timeout(args.timeout)

    def perform(command: Command) -> Any:
        config = _config(command)
        pairs = config.memcg if command.section == "memcg" else config.compact
        try:
            kata_agent.call(address, command.name, kata_rules.message(command.section, pairs), seconds)
        except (kata_agent.Refused, kata_agent.Unreachable) as error:
            raise Failure(str(address), str(error)) from error
        return {}

    return perform


def _address(args: argparse.Namespace) -> Any:
    from reconciler.agent import kata_rules

    if args.workload or args.cgroup or args.persist:
        said = "--workload, --cgroup and --persist are for our daemon; a kata-agent knows nothing of them"
        raise Failure("connect", said, code=Exit.USAGE)
    if not args.server_address:
        hint = "unix:///run/kata/SANDBOX/root/kata.hvsock with --hybrid-vsock, for example"
        raise Failure("--server-address", "is missing", hint=hint, code=Exit.USAGE)
    port = kata_rules.AGENT_PORT if args.hybrid_vsock_port is None else args.hybrid_vsock_port
    try:
        return kata_rules.address(args.server_address, hybrid=args.hybrid_vsock, port=port)
    except ValueError as error:
        raise Failure("--server-address", str(error), code=Exit.USAGE) from error


def _timeout(word: str | None) -> float:
    if word is None:
        return _SECONDS
    try:
        found = quantities.seconds_of(word)
    except ValueError as error:
        raise Failure("--timeout", str(error), code=Exit.USAGE) from error
    if found <= 0:
        raise Failure("--timeout", "must be more than nothing", code=Exit.USAGE)
    return found


def _config(command: Command) -> MemagentConfig:
    """What a class's `memagent:` may say; wrong keys are refused here, for the agent would not say which."""
    try:
        value: Mapping[str, Any] = json.loads(command.text)
    except (ValueError, RecursionError) as error:
        raise Failure(command.name, f"is no JSON: {error}", code=Exit.USAGE) from error
    if isinstance(value, dict):
        value = {key: one for key, one in value.items() if one is not None}  # null is how theirs writes "absent"
    reading = agentreading.Reading(document=documents.Document(file=command.name, value={command.section: value}))
    config = reading.memagent("", {command.section: value})
    if reading.problems or config is None:
        said = [": ".join(filter(None, [one.pointer.rpartition("/")[2], one.message])) for one in reading.problems]
        hint = next((one.hint for one in reading.problems if one.hint), "")
        raise Failure(command.name, "; ".join(said), hint=hint, code=Exit.USAGE)
    return config
