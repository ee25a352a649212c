"""The forecaster that is a program of the administrator's: asked on its standard input, it answers on its output.

It is started when it is first asked, and kept. One that has died is started again and asked again, as often as
`retries` says; that it died before it was asked costs none of them. One that is silent until the deadline, or says
what cannot be an answer, is killed, and gets a new chance in the next round: this round has no forecast. Nothing that
it has started outlives it, nor any of them us.

All of a round, retries too, is over at the deadline. What the program writes to its standard error goes to the file
that `stderr` names, which only grows, or nowhere.
"""

import os
import shlex

from reconciler import children, documents, files
from reconciler.children import Answering
from reconciler.engine.forecasters import heatjson
from reconciler.engine.forecasters.forecaster import Means
from reconciler.engine.heatmap import Heats
from reconciler.engineconfig import ForecasterConfig

_MIB = 1 << 20


class Stdio:
    def __init__(self, config: ForecasterConfig, means: Means) -> None:
        self._config, self._means = config, means
        self._child: Answering | None = None
        self.note = ""

    def forecast(self, heats: Heats) -> Heats | None:
        try:
            result, said = self._asked_until(self._means.clock() + self._config.deadline_ms / 1000, heats), ""
        except children.Ended:
            result, said = None, "has ended without an answer"
        except children.Silent:
            result, said = None, f"has not answered within {self._config.deadline_ms} ms and was killed"
        except heatjson.Wrong as error:
            result, said = None, f"was killed, for its answer is wrong: {error}"
        except OSError as error:
            result, said = None, f"{error.strerror}: {error.filename}" if error.filename else str(error)
        except ValueError as error:  # a name that no file can have
            result, said = None, f"cannot be started: {error}"
        if said:
            self._drop()
        self.note = f"forecaster {documents.shorten(shlex.join(self._config.command))}: {said}" if said else ""
        return result

    def _asked_until(self, until: float, heats: Heats) -> Heats | None:
        for _ in range(self._config.retries):
            try:
                return self._asked(until, heats)
            except children.Ended:
                self._drop()
        return self._asked(until, heats)

    def _asked(self, until: float, heats: Heats) -> Heats | None:
        question = heatjson.question(heats)
        collector = heatjson.Collector(4 * len(question) + _MIB)
        self._ready().ask(question, collector.take, lambda: until - self._means.clock())
        return heatjson.answer(collector.text(), heats, self._means.page_size)

    def _ready(self) -> Answering:
        """A child that waits for a question: one that has ended meanwhile, or spoke unasked, is replaced."""
        if self._child is not None and not self._waits(self._child):
            self._drop()
        if self._child is None:
            self._child = self._start()
        return self._child

    @staticmethod
    def _waits(child: Answering) -> bool:
        try:
            return not child.ended() and not child.unasked().strip()
        except children.Ended:
            return False

    def _start(self) -> Answering:
        path = self._config.stderr.removeprefix("file:")
        if not path:
            return children.answering(self._config.command)
        errors = files.open_to_append(path)
        try:
            return children.answering(self._config.command, errors)
        finally:
            os.close(errors)

    def _drop(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None

    def dump(self, words: tuple[str, ...]) -> str:
        del words
        child = self._child
        state = "not running" if child is None or child.ended() else f"below pid {child.process.pid}"
        return f"stdio: {shlex.join(self._config.command)} ({state})" + (f": {self.note}" if self.note else "")

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
        self._child = None
