"""memtierd's prompt without a terminal: a line in, its answer out.

The answer is text for standard output, or for the shell command behind a pipe, which is run by whoever has the
terminal. An error is part of the text, as memtierd prints it, and makes the answer not ok.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reconciler import checking, documents
from reconciler.memtierd import flags, line
from reconciler.memtierd.commands import catalogue
from reconciler.memtierd.commands.command import Again, Command, Over, Wrong
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import FlagError
from reconciler.memtierd.host import Host
from reconciler.memtierd.line import LineError
from sysfs.errors import KernelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    text: str = ""  # "" or whole lines
    ok: bool = True
    pipe: str = ""  # the text is for `sh -c` of this
    over: bool = False  # the prompt is left
    again: bool = False  # not done yet: run the same line again


class Console:
    """One person's prompt: what was selected, created and started stays for the next line."""

    def __init__(self, host: Host) -> None:
        self._desk = Desk(host=host)

    def run(self, text: str) -> Answer:
        """A line as it was typed."""
        try:
            split = line.split(text)
        except LineError as error:
            return Answer(text=f"error in command: {error}\n", ok=False)
        return self.answer(split.words, split.pipe)

    def answer(self, words: Sequence[str], pipe: str = "") -> Answer:
        """A line that has been split."""
        if not words:
            return Answer(pipe=pipe)
        command = catalogue.COMMANDS.get(words[0])
        if command is None:
            hint = checking.did_you_mean(words[0], list(catalogue.COMMANDS))
            return Answer(text=f"unknown command {documents.shorten(words[0])!r}; {hint}\n", ok=False)
        said, over, again, ok = list[str](), False, False, True
        try:
            for each in self._pieces(command, words[1:]):
                said.append(each)
        except Over as end:
            over, ok = True, end.status == 0
        except Again:
            again = True
        except (Wrong, FlagError, ValueError, LookupError, KernelError) as error:
            said.append(f"{command.name}: {_words(error)}")
            ok = False
        return self._said(Answer(text="".join(f"{each}\n" for each in said), ok=ok, pipe=pipe, over=over, again=again))

    def _pieces(self, command: Command, words: Sequence[str]) -> Iterator[str]:
        given = flags.parse(command.flags, words)
        if "h" in given:
            yield flags.usage(command.name, command.summary, command.flags, command.words)
        else:
            yield from command.run(given, self._desk)

    def _said(self, answer: Answer) -> Answer:
        """`log -copy` and `log -capture`: the output goes to the log, too, or only there."""
        if not self._desk.copying or answer.pipe:
            return answer
        for each in answer.text.splitlines():
            self._desk.host.log("info", self._desk.prefix + each)
        return answer if self._desk.copying == "copy" else Answer(ok=answer.ok, over=answer.over, again=answer.again)


def _words(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
