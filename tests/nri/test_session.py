"""The connection itself, with a host that does everything hosts do, and some things that they should not."""

import math
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nri import api_pb2 as api
from nri import link, mux, session, ttrpc
from nri.changes import Changes
from nri.plugin import EVENT_MASK, Answer, Plugin, Subject
from sysfs.tree import Tree
from tests.nri.conftest import Place
from tests.nri.host import PLUGIN_SERVICE, Host, container, pod

_METHODS = [method.name for method in api.DESCRIPTOR.services_by_name["Plugin"].methods]
CONFIGURE = api.ConfigureRequest(runtime_name="containerd", runtime_version="1.7.24~ds1")


def test_handshake(host: Host) -> None:
    registration = host.registration()
    host.accept()
    configured = host.call("Configure", CONFIGURE)

    assert (registration.plugin_name, registration.plugin_idx) == ("ebbtide", "10")
    assert api.ConfigureResponse.FromString(configured.payload).events == EVENT_MASK


def test_the_event_mask_is_known_to_every_host() -> None:
    assert EVENT_MASK & ~0x7FF == 0
    assert EVENT_MASK == 0x6EC


def test_configure_may_come_before_the_answer_to_the_registration(host: Host) -> None:
    host.registration()
    configured = host.call("Configure", CONFIGURE)
    host.accept()

    assert api.ConfigureResponse.FromString(configured.payload).events == EVENT_MASK
    assert host.call("Synchronize", api.SynchronizeRequest()).code == 0


def test_a_refused_registration_ends_the_session(host: Host, place: Place) -> None:
    host.registration()
    host.refuse("plugin index 10 is not welcome")

    assert host.closed()
    assert "not welcome" in str(place.end())
    assert isinstance(place.end(), session.Refused)


def test_the_end_of_the_connection_ends_the_session(host: Host, place: Place) -> None:
    host.handshake()
    host.close()

    assert isinstance(place.end(), link.Closed)


def test_shutdown_is_answered(host: Host) -> None:
    host.handshake()

    assert host.call("Shutdown", api.Empty()).code == 0


UNKNOWN: dict[str, tuple[str, str, int, str]] = {
    "method": (PLUGIN_SERVICE, "Foo", 12, "method Foo"),
    "service": ("nri.pkg.api.v1alpha1.Mystery", "Configure", 12, "service nri.pkg.api.v1alpha1.Mystery"),
    "nothing at all": ("", "", 12, "service "),
}


@pytest.mark.parametrize(("service", "method", "code", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_unknown_is_refused_and_the_connection_lives(
    host: Host, service: str, method: str, code: int, message: str
) -> None:
    host.handshake()

    answer = host.call(method, b"", service)

    assert (answer.code, answer.message) == (code, message)
    host.settle()


@pytest.mark.parametrize("method", sorted({*_METHODS} - {"Configure"}))
def test_a_request_that_cannot_be_read_stops_no_container(
    host: Host, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A pod whose name is not UTF-8, in every method: the runtime takes an error for a refusal of the container."""
    host.handshake()

    answer = host.call(method, b"\x0a\x03\x12\x01\xff")

    assert (answer.code, answer.payload) == (ttrpc.Code.OK, b"")
    host.settle()
    assert [one.message for one in caplog.records if "event=unreadable" in one.message] in (
        [],  # methods whose request we do not read
        [f"event=unreadable method={method}"],
    )


def test_a_configuration_that_cannot_be_read_is_refused(host: Host) -> None:
    host.handshake()

    assert host.call("Configure", b"\xff\xff").code == ttrpc.Code.INVALID_ARGUMENT
    host.settle()


def test_a_synchronize_that_cannot_be_read_keeps_what_is_known(
    host: Host, place: Place, start: Callable[[], Host]
) -> None:
    place.cgroup("/kubepods/podweb-0/f00d")
    host.handshake((pod(), container("f00d", pod())))
    host.settle()
    host.close()

    again = start()
    again.handshake(synchronize=False)
    assert again.call("Synchronize", b"\x0a\x03\x12\x01\xff").code == ttrpc.Code.OK
    again.settle()

    assert list(place.records()) == ["f00d"]


@pytest.mark.parametrize("stream", [0, 2, 1])
def test_a_stream_that_is_even_or_used_is_refused(host: Host, stream: int) -> None:
    host.handshake()

    host.send(mux.PLUGIN, ttrpc.Request(stream=stream, service=PLUGIN_SERVICE, method="Shutdown"))

    assert host.answer(stream).code == ttrpc.Code.INVALID_ARGUMENT


@pytest.mark.parametrize("frame", [1, 9, 11, 4096, 1 << 20])
def test_hosts_cut_messages_as_they_like(start: Callable[[], Host], place: Place, frame: int) -> None:
    host = start()
    host.frame = frame
    here = pod({"class.memtierd.nri.io": "swap-idle-data"})

    host.handshake()
    assert host.create(here, container("f00d", here)) == {"memory.swap.max": "max"}
    host.settle()
    assert list(place.records()) == ["f00d"]


def test_many_messages_in_one_write(host: Host) -> None:
    host.handshake()
    data = b""
    for stream in (101, 103, 105):
        call = ttrpc.encode(ttrpc.Request(stream=stream, service=PLUGIN_SERVICE, method="Shutdown"))
        data += b"".join(mux.frames(mux.PLUGIN, call))
    host.send_raw(data)

    assert [host.answer(stream).code for stream in (101, 103, 105)] == [0, 0, 0]


def test_frames_of_connections_that_nobody_opened_are_dropped(host: Host) -> None:
    host.handshake()
    host.send_raw(b"\0\0\0\7\0\0\0\3abc" + b"\0\0\0\0\0\0\0\0")
    host.settle()


def test_answers_to_nothing_are_ignored(host: Host) -> None:
    host.handshake()
    host.send(mux.RUNTIME, ttrpc.Response(stream=77, code=2, message="late"))
    host.send(mux.PLUGIN, ttrpc.Response(stream=3))
    host.send(mux.RUNTIME, ttrpc.Request(stream=1, service="x", method="y"))
    host.settle()


GARBAGE = {
    "a giant frame": b"\0\0\0\1\xff\xff\xff\xff",
    "an envelope that is no protobuf": b"\0\0\0\1\0\0\0\x0c" + b"\0\0\0\2\0\0\0\5\1\0\xff\xff",
    "text": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_ends_the_session(host: Host, place: Place, data: bytes) -> None:
    host.handshake()
    host.send_raw(data)

    assert host.closed()
    assert isinstance(place.end(), mux.Garbage)


def test_an_oversize_request_is_answered_and_the_connection_lives(host: Host) -> None:
    host.handshake()
    size = ttrpc.LARGEST_BODY + 1
    head = size.to_bytes(4, "big") + (99).to_bytes(4, "big") + b"\1\0"
    body = head + bytes(size)
    host.send_raw(b"\0\0\0\1" + len(body).to_bytes(4, "big") + body)

    assert host.answer(99).code == ttrpc.Code.RESOURCE_EXHAUSTED
    host.settle()


def test_large_messages_both_ways(host: Host, place: Place) -> None:
    listed = [(one := pod(name=f"p{number}"), container(f"c{number:05}", one)) for number in range(2000)]
    here = pod({"class.memtierd.nri.io": "swap-idle-data", "note.nri.io": "x" * 200_000})

    host.handshake(*listed)
    assert host.create(here, container("f00d", here)) == {"memory.swap.max": "max"}
    host.settle()
    assert len(place.records()) == 2001


def test_a_failing_handler_answers_and_lives(start: Callable[[Plugin], Host], place: Place) -> None:
    class Broken(Plugin):
        def create(self, payload: bytes) -> Answer:
            raise KeyError("a bug")

    host = start(Broken(place.tree, lambda: place.view))
    host.handshake()

    assert host.create(pod(), container("f00d", pod())) == {}
    host.settle()


def test_a_synchronize_that_fails_on_our_side_is_asked_for_again(start: Callable[[Plugin], Host], place: Place) -> None:
    """Older hosts would keep the connection and never send an event on it."""

    class Broken(Plugin):
        def synchronize(self, payload: bytes) -> Answer:
            raise KeyError("a bug")

    host = start(Broken(place.tree, lambda: place.view))
    host.handshake()

    assert host.closed()
    assert isinstance(place.end(), session.Refused)


def test_work_that_fails_costs_a_log_line(
    start: Callable[[Plugin], Host], place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Plugin):
        def started(self, subject: Subject) -> Changes:
            raise KeyError("a bug")

    host = start(Broken(place.tree, lambda: place.view))
    host.handshake()
    host.event("StartContainer", pod(), container("f00d", pod()))
    host.settle()

    assert "event=work-failed method=StartContainer" in caplog.text


@given(method=st.sampled_from([*_METHODS, "x"]), payload=st.binary(max_size=300))
def test_no_bytes_make_the_plugin_fail(method: str, payload: bytes) -> None:
    plugin = Plugin(Tree("/nonexistent"), Place(root=Path("/nonexistent")).look)

    plugin.answer(method, payload).work()


class Once(link.Link):
    """One call, and then the end."""

    def __init__(self, method: str) -> None:
        self.calls = [ttrpc.Request(stream=1, service=PLUGIN_SERVICE, method=method)]

    def receive(self, seconds: float) -> "list[tuple[int, ttrpc.Message]]":  # type: ignore[override]
        if not self.calls:
            raise link.Closed
        return [(mux.PLUGIN, self.calls.pop())]

    def send(self, connection: int, message: ttrpc.Message) -> None: ...


@pytest.mark.parametrize(
    ("method", "seconds", "said", "end"),
    [
        ("Shutdown", 1, "", link.Closed),
        ("Shutdown", 2, "event=slow method=Shutdown milliseconds=2000", link.Closed),
        ("Shutdown", 3, "event=slow method=Shutdown milliseconds=3000", link.Closed),
        ("Synchronize", 3, "event=slow method=Synchronize milliseconds=3000", session.Refused),
    ],
)
def test_late_answers(
    place: Place, caplog: pytest.LogCaptureFixture, method: str, seconds: int, said: str, end: type[Exception]
) -> None:
    """The host drops who is late; after a late Synchronize old hosts only pretend to keep the connection."""
    moments = iter(range(0, 1000, seconds))
    deeds = session.Deeds(perform=lambda _: None, tick=place.tick, clock=lambda: next(moments))

    with pytest.raises(end):
        session.Session(Once(method), place.plugin(), deeds, name="x", index="10").run()

    assert said in caplog.text
    assert ("event=slow" in caplog.text) == bool(said)


class Silent(link.Link):
    """A host that says this much and nothing more, and time that passes quickly."""

    def __init__(self, *said: ttrpc.Message) -> None:
        self.said = [(mux.RUNTIME if isinstance(one, ttrpc.Response) else mux.PLUGIN, one) for one in said]
        self.now = 0.0

    def receive(self, seconds: float) -> "list[tuple[int, ttrpc.Message]]":  # type: ignore[override]
        if self.now > 1000:
            raise link.Closed
        self.now += session.TICK_SECONDS
        said, self.said = self.said, []
        return said

    def send(self, connection: int, message: ttrpc.Message) -> None: ...


def end_of(place: Place, silent: Silent, patience: float = session.SYNCHRONIZE_SECONDS) -> BaseException:
    deeds = session.Deeds(
        perform=lambda _: None, tick=place.tick, clock=lambda: silent.now, synchronize_seconds=patience
    )
    with pytest.raises((session.Refused, link.Closed)) as ended:
        session.Session(silent, place.plugin(), deeds, name="x", index="10").run()
    return ended.value


def request(method: str, stream: int = 1) -> ttrpc.Request:
    return ttrpc.Request(stream=stream, service=PLUGIN_SERVICE, method=method)


REGISTERED = ttrpc.Response(stream=1)
SYNCHRONIZED = (REGISTERED, request("Configure"), request("Synchronize", 3))


def test_no_answer_to_the_registration_ends_the_session(place: Place) -> None:
    assert "no answer" in str(end_of(place, Silent()))


def test_a_synchronize_that_never_comes_ends_the_session(place: Place) -> None:
    """Hosts before NRI 0.12 keep a connection whose Synchronize failed on their side, and forget it."""
    ended = end_of(place, Silent(REGISTERED, request("Configure")))

    assert isinstance(ended, session.Refused)
    assert "never synchronized" in str(ended)


def test_a_plugin_that_the_runtime_started_waits_for_ever(place: Place) -> None:
    """Old hosts never synchronize those; connecting anew would be the end of them."""
    assert isinstance(end_of(place, Silent(REGISTERED, request("Configure")), math.inf), link.Closed)


def test_silence_after_synchronize_is_normal(place: Place) -> None:
    assert isinstance(end_of(place, Silent(*SYNCHRONIZED)), link.Closed)


def test_it_ticks_while_nothing_happens(host: Host, place: Place) -> None:
    host.handshake()
    before = place.ticks
    seen = threading.Event()

    while place.ticks < before + 2:  # each after at most TICK_SECONDS
        seen.wait(0.05)
