"""One connection to the runtime, from registration to its end; and, for a plugin that connects by itself, the next.

One thread does all of that. Configure may come before the answer to our registration, so there is nothing to wait
for: what comes in is handled in the order in which it comes.
"""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from nri import api_pb2 as api
from nri import link, mux, ttrpc
from nri.changes import Changes
from nri.plugin import SERVICE, Answer, Plugin
from nri.ttrpc import Code
from reconciler import logfmt

log = logging.getLogger("ebbtide.nri")

REGISTRATION_SECONDS = 30.0  # hosts accept one peer after the other, and each may use up its 5 seconds
SYNCHRONIZE_SECONDS = 30.0  # after that; it comes at once, but asks older plugins of the same host first
TICK_SECONDS = 2.0
FIRST_DELAY, LONGEST_DELAY = 0.5, 5.0  # connecting costs nothing, and containers may start in between
_RUNTIME_SERVICE = api.DESCRIPTOR.services_by_name["Runtime"].full_name


class Refused(Exception):
    """The runtime does not want us; why, in its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """What a session does beside talking."""

    perform: Callable[[Changes], None]  # must not wait for a disk
    tick: Callable[[], None]  # now and then, also while nothing comes in
    clock: Callable[[], float] = time.monotonic
    synchronize_seconds: float = SYNCHRONIZE_SECONDS  # how long Synchronize may take to come


class Session:
    def __init__(self, connection: link.Link, plugin: Plugin, deeds: Deeds, *, name: str, index: str) -> None:
        self._link = connection
        self._plugin = plugin
        self._deeds = deeds
        self._name, self._index = name, index
        self._last_stream = 0
        self._since = 0.0  # when the runtime's turn began
        self.registered = False

    def run(self) -> NoReturn:
        """Serve until the connection ends, which is always by an exception: Closed, Garbage, Refused or an OSError."""
        self._plugin.connected()
        self._register()
        self._since = self._deeds.clock()
        while True:
            for connection, message in self._link.receive(TICK_SECONDS):
                self._handle(connection, message)
            if not self.good:
                self._lose_patience(self._deeds.clock() - self._since)
            self._deeds.tick()

    def close(self) -> None:
        self._link.close()

    @property
    def good(self) -> bool:
        """Whether the runtime took us in all the way; else trying again at once would only repeat it."""
        return self.registered and self._plugin.synchronized

    def _lose_patience(self, waited: float) -> None:
        """Hosts before NRI 0.12 keep a connection whose Synchronize failed on their side, and never use it again."""
        if not self.registered and waited > REGISTRATION_SECONDS:
            raise Refused("no answer to our registration; the runtime may have no NRI, or an older plugin blocks it")
        if self.registered and waited > self._deeds.synchronize_seconds:
            raise Refused("registered, but never synchronized; the runtime's log may say why; connecting anew")

    def _register(self) -> None:
        request = api.RegisterPluginRequest(plugin_name=self._name, plugin_idx=self._index)
        message = ttrpc.Request(
            stream=1,
            service=_RUNTIME_SERVICE,
            method="RegisterPlugin",
            payload=request.SerializeToString(),
            timeout_ns=int(REGISTRATION_SECONDS * 1e9),
        )
        self._link.send(mux.RUNTIME, message)

    def _handle(self, connection: int, message: ttrpc.Message | ttrpc.Oversize) -> None:
        if isinstance(message, ttrpc.Request) and connection == mux.PLUGIN:
            self._serve(message)
        elif isinstance(message, ttrpc.Response) and connection == mux.RUNTIME:
            self._answered(message)
        elif isinstance(message, ttrpc.Oversize) and connection == mux.PLUGIN and message.request:
            text = f"message length {message.length} exceeds the maximum of {ttrpc.LARGEST_BODY}"
            self._reply(message.stream, Answer(code=Code.RESOURCE_EXHAUSTED, message=text))
            log.warning(logfmt.line("event=oversize", stream=message.stream, bytes=message.length))

    def _answered(self, message: ttrpc.Response) -> None:
        if message.stream != 1:
            return  # an answer to nothing that we asked
        if message.code != Code.OK:
            raise Refused(f"{message.message} (code {message.code})")
        self.registered, self._since = True, self._deeds.clock()
        log.info(logfmt.line("event=registered", name=self._name, idx=self._index))

    def _serve(self, call: ttrpc.Request) -> None:
        began = self._deeds.clock()
        answer = self._answer(call)
        self._reply(call.stream, answer)
        late = self._late(call, self._deeds.clock() - began)
        if late and call.method == "Synchronize":  # older hosts keep such a connection, and never use it again
            raise Refused("our answer to Synchronize was late; connecting anew makes the runtime tell us again")
        if answer.last:
            raise Refused("our own side failed; connecting anew makes the runtime tell us everything again")
        self._work(call, answer)

    def _answer(self, call: ttrpc.Request) -> Answer:
        if call.stream % 2 == 0 or call.stream <= self._last_stream:
            return Answer(code=Code.INVALID_ARGUMENT, message=f"stream {call.stream} is even, or was used before")
        self._last_stream = call.stream
        if call.service != SERVICE:
            return Answer(code=Code.UNIMPLEMENTED, message=f"service {call.service}")
        return self._plugin.answer(call.method, call.payload)

    def _reply(self, stream: int, answer: Answer) -> None:
        payload = answer.reply.SerializeToString() if answer.code == Code.OK else b""
        response = ttrpc.Response(stream=stream, payload=payload, code=answer.code, message=answer.message)
        self._link.send(mux.PLUGIN, response)

    def _work(self, call: ttrpc.Request, answer: Answer) -> None:
        try:
            changes = answer.work()
        except Exception:  # the runtime has its answer; a bug must not take the connection down
            log.exception(logfmt.line("event=work-failed", method=call.method))
            return
        self._deeds.perform(changes)

    def _late(self, call: ttrpc.Request, seconds: float) -> bool:
        """Whether the host has given up on us; half of its time is already too near to say nothing."""
        milliseconds = round(seconds * 1000)
        if milliseconds * 2 > self._plugin.request_timeout_ms:
            log.warning(logfmt.line("event=slow", method=call.method, milliseconds=milliseconds))
        return milliseconds > self._plugin.request_timeout_ms


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def delay(attempt: int, random: float) -> float:
    """Seconds before the next attempt: doubling, and spread, so that a node's plugins do not all come at once."""
    return min(FIRST_DELAY * 2.0 ** min(attempt, 10), LONGEST_DELAY) * (0.5 + random / 2)
