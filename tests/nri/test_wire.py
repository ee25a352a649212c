"""Vectors made by a real host, and everything that may happen to bytes on their way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nri import api_pb2 as api
from nri import mux, ttrpc

RUNTIME = api.DESCRIPTOR.services_by_name["Runtime"].full_name


def framed(connection: int, message: ttrpc.Message) -> str:
    return b"".join(mux.frames(connection, ttrpc.encode(message))).hex()


def unified() -> bytes:
    response = api.CreateContainerResponse()
    response.adjust.linux.resources.unified["memory.high"] = "52428800"
    return response.SerializeToString()


def update() -> bytes:
    request = api.UpdateContainersRequest()
    one = request.update.add(container_id="abc", ignore_failure=True)
    one.linux.resources.memory.limit.value = 67108864
    return request.SerializeToString()


REGISTER = api.RegisterPluginRequest(plugin_name="memd", plugin_idx="42").SerializeToString()

# (connection, message, bytes as containerd 1.7.24 made or accepted them)
VECTORS: dict[str, tuple[int, ttrpc.Message, str]] = {
    "V1 register": (
        2,
        ttrpc.Request(stream=1, service=RUNTIME, method="RegisterPlugin", payload=REGISTER, timeout_ns=5_000_000_000),
        (
            "000000020000004a000000400000000101000a1c6e72692e706b672e6170692e7631616c706861312e52756e74696d65"
            "120e5265676973746572506c7567696e1a0a0a046d656d64120234322080e497d012"
        ),
    ),
    "V2 registered": (2, ttrpc.Response(stream=1), "000000020000000a00000000000000010200"),
    "V3 events of 0.3": (
        1,
        ttrpc.Response(stream=1, payload=api.ConfigureResponse(events=0x7FF).SerializeToString()),
        "000000010000000f00000005000000010200120310ff0f",
    ),
    "V3b events of 0.10": (
        1,
        ttrpc.Response(stream=1, payload=api.ConfigureResponse(events=0x3FFF).SerializeToString()),
        "000000010000000f00000005000000010200120310ff7f",
    ),
    "V4 synchronized": (1, ttrpc.Response(stream=3), "000000010000000a00000000000000030200"),
    "V4b and more": (
        1,
        ttrpc.Response(stream=3, payload=api.SynchronizeResponse(more=True).SerializeToString()),
        "000000010000000e0000000400000003020012021001",
    ),
    "V5 adjusted": (
        1,
        ttrpc.Response(stream=5, payload=unified()),
        "000000010000002b00000021000000050200121f0a1d321b121932170a0b6d656d6f72792e6869676812083532343238383030",
    ),
    "V6 unknown method": (
        1,
        ttrpc.Response(stream=7, code=12, message="method Foo"),
        "000000010000001a000000100000000702000a0e080c120a6d6574686f6420466f6f",
    ),
    "V7 refused": (
        1,
        ttrpc.Response(stream=7, code=2, message="policy says no"),
        "000000010000001e000000140000000702000a120802120e706f6c6963792073617973206e6f",
    ),
    "V8 unsolicited update": (
        2,
        ttrpc.Request(stream=3, service=RUNTIME, method="UpdateContainers", payload=update(), timeout_ns=2_000_000_000),
        (
            "00000002000000580000004e0000000301000a1c6e72692e706b672e6170692e7631616c706861312e52756e74696d65"
            "1210557064617465436f6e7461696e6572731a160a140a03616263120b0a090a070a05088080802018012080a8d6b907"
        ),
    ),
}


@pytest.mark.parametrize(("connection", "message", "wire"), VECTORS.values(), ids=VECTORS)
def test_golden_vectors_are_sent(connection: int, message: ttrpc.Message, wire: str) -> None:
    assert framed(connection, message) == wire


@pytest.mark.parametrize(("connection", "message", "wire"), VECTORS.values(), ids=VECTORS)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_golden_vectors_are_understood(connection: int, message: ttrpc.Message, wire: str, size: int) -> None:
    data = bytes.fromhex(wire)

    assert list(messages([data[at : at + size] for at in range(0, len(data), size)])) == [(connection, message)]


def test_a_real_hosts_refusal() -> None:
    body = bytes.fromhex("0a11080c120d6d6574686f64204e6f53756368")
    head = len(body).to_bytes(4, "big") + (9).to_bytes(4, "big") + b"\x02\x00"

    assert list(ttrpc.Reader().feed(head + body)) == [ttrpc.Response(stream=9, code=12, message="method NoSuch")]


def messages(chunks: list[bytes]) -> list[tuple[int, ttrpc.Message | ttrpc.Oversize]]:
    frames = mux.Reader()
    readers = {mux.PLUGIN: ttrpc.Reader(), mux.RUNTIME: ttrpc.Reader()}
    return [
        (connection, message)
        for chunk in chunks
        for connection, payload in frames.feed(chunk)
        for message in readers[connection].feed(payload)
    ]


@pytest.mark.parametrize("size", [10, 4086, 4087, 9000, 500_000])
def test_the_4096_rule(size: int) -> None:
    message = ttrpc.encode(ttrpc.Response(stream=1, payload=b"x" * size))

    sent = list(mux.frames(1, message))

    assert b"".join(frame[8:] for frame in sent) == message
    assert len(sent[0]) <= 8 + 4096
    assert len(sent) <= 2
    assert all(len(frame) > 8 for frame in sent)


@given(st.lists(st.binary(max_size=9000), max_size=4), st.randoms())
def test_frames_may_be_cut_anywhere(payloads: list[bytes], random: object) -> None:
    sent: list[tuple[int, ttrpc.Message]] = [
        (1 + index % 2, ttrpc.Response(stream=index, payload=payload)) for index, payload in enumerate(payloads)
    ]
    data = b"".join(frame for connection, one in sent for frame in mux.frames(connection, ttrpc.encode(one)))
    cut = len(data) // 3 + 1

    assert messages([data[at : at + cut] for at in range(0, len(data), cut)]) == sent


def test_a_message_may_come_in_many_frames_and_many_messages_in_one() -> None:
    wire = [ttrpc.encode(ttrpc.Response(stream=index, payload=b"abc")) for index in (1, 3)]
    reader = ttrpc.Reader()

    assert [m.stream for byte in b"".join(wire) for m in reader.feed(bytes([byte]))] == [1, 3]
    assert [m.stream for m in reader.feed(b"".join(wire))] == [1, 3]


def test_a_giant_frame_is_garbage() -> None:
    with pytest.raises(mux.Garbage, match="4294967295 bytes"):
        list(mux.Reader().feed(b"\0\0\0\1\xff\xff\xff\xff"))


def test_an_oversize_message_is_skipped_and_the_next_one_works() -> None:
    reader = ttrpc.Reader()
    length = ttrpc.LARGEST_BODY + 1
    head = length.to_bytes(4, "big") + b"\0\0\0\5\1\0"

    found = [*reader.feed(head + b"x" * 100), *reader.feed(b"x" * (length - 100))]
    found += reader.feed(ttrpc.encode(ttrpc.Response(stream=7)))

    assert found == [ttrpc.Oversize(stream=5, length=length, request=True), ttrpc.Response(stream=7)]


def test_types_of_a_newer_protocol_are_ignored() -> None:
    data = b"\0\0\0\2\0\0\0\5\3\0xy" + ttrpc.encode(ttrpc.Response(stream=7))

    assert list(ttrpc.Reader().feed(data)) == [ttrpc.Response(stream=7)]


def test_an_envelope_that_is_no_protobuf_is_garbage() -> None:
    with pytest.raises(mux.Garbage):
        list(ttrpc.Reader().feed(b"\0\0\0\2\0\0\0\5\1\0\xff\xff"))


@given(st.lists(st.binary(max_size=200)))
def test_noise_is_garbage_or_nothing_but_never_a_crash(chunks: list[bytes]) -> None:
    reader = ttrpc.Reader()
    try:
        for chunk in chunks:
            list(reader.feed(chunk))
    except mux.Garbage:
        return


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(ValueError, match="limit"):
        ttrpc.encode(ttrpc.Response(stream=1, payload=b"x" * (ttrpc.LARGEST_BODY + 1)))


def test_fields_of_newer_hosts_are_skipped() -> None:
    known = api.Container(id="abc", name="c")
    newer = known.SerializeToString() + bytes.fromhex("b20103616263" + "8001" + "05")  # image, exit_code-like

    found = api.Container.FromString(newer)

    assert (found.id, found.name) == ("abc", "c")
