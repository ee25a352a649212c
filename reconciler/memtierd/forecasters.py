"""What predicts heats for the heat policy. One that starts a program or writes a file is for files of root's only."""

from reconciler import checking
from reconciler.engineconfig import ForecasterConfig
from reconciler.memtierd import words
from reconciler.memtierd.parts import Part

NOT_TRUSTED = "only files of root may have programs started and files written: this came from the container runtime"
PUT_IT_THERE = "put it into a file of root's in /etc/nri/conf.d"


def of_policy(policy: Part) -> ForecasterConfig | None:
    found = policy.named("forecaster", words.FORECASTERS) if policy.has("forecaster") else None
    return None if found is None else read(*found)


def read(name: str, part: Part) -> ForecasterConfig:
    part.check_keys(words.with_native(words.FORECASTER_KEYS[name]))
    if name in {"stdio", "trace"} and not part.reading.programs:
        part.say("", NOT_TRUSTED, PUT_IT_THERE)
    match name:
        case "stdio":
            return _stdio(part)
        case "trace":
            return ForecasterConfig(name=name, file=_file(part), hide_heat_zero=part.switch("hideheatzero"))
        case "chain":
            return _chain(part)
        case _:
            return ForecasterConfig(name=name)


def _stdio(part: Part) -> ForecasterConfig:
    command = part.texts("command")
    if not part.values.get("command"):
        part.say("", 'the forecaster\'s "command" is missing', "write command: [/usr/local/bin/forecast]")
    return ForecasterConfig(
        name="stdio",
        command=command,
        stderr=_stderr(part),
        retries=part.whole("retry", 0, most=1000),
        deadline_ms=part.duration_ms("deadlinems", 5000, least=1),
    )


def _stderr(part: Part) -> str:
    """Memtierd writes `file:PATH`."""
    text = part.word("stderr")
    path = text.removeprefix("file:")
    if text and not (text.startswith("file:") and _absolute(path)):
        said = f"{checking.show(text)} is neither empty nor file: and an absolute path"
        part.say("stderr", said, "for example stderr: file:/var/log/forecast.err")
    return path


def _file(part: Part) -> str:
    path = part.word("file")
    if not path:
        part.say("", 'the forecaster\'s "file" is missing', "write file: /var/log/heats")
    elif not _absolute(path):
        part.say("file", f"{checking.show(path)} is no absolute path", "for example file: /var/log/heats")
    return path


def _absolute(path: str) -> bool:
    return path.startswith("/") and ".." not in path.split("/")


def _chain(part: Part) -> ForecasterConfig:
    found = tuple(read(*each) for each in part.each_named("forecasters", words.FORECASTERS))
    if not part.values.get("forecasters"):
        part.say("", 'the chain\'s "forecasters" are missing', "write forecasters: [{name: stdio, config: ...}]")
    return ForecasterConfig(name="chain", forecasters=found)
