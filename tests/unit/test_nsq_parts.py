"""Parts of the NSQ engine without I/O: addresses, options, frames, RDY, layers, statistics."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import Any

import gnsq.errors
import gnsq.protocol
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Bus, ConfigurationError
from eventbus.engines.nsq import frames
from eventbus.engines.nsq.addresses import Address, parse_address, parse_addresses
from eventbus.engines.nsq.admin import join_stats
from eventbus.engines.nsq.engine import NsqEngine, open_nsq
from eventbus.engines.nsq.frames import FrameBuffer, ProtocolError, ServerError, read_error
from eventbus.engines.nsq.handshake import describe
from eventbus.engines.nsq.layers import DeflateLayer
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.schema import Answer, Identified, Info, Producers, Stats, fit, peer_text
from tests.peers import frame, message


def test_the_names_of_gnsq_that_we_use_are_there() -> None:
    """gnsq is unmaintained and pinned; a release that moves these must be noticed."""
    assert (gnsq.protocol.MAGIC_V2, gnsq.protocol.HEARTBEAT, gnsq.protocol.OK) == (b"  V2", b"_heartbeat_", b"OK")
    assert gnsq.protocol.subscribe("t", "c") == b"SUB t c\n"
    assert gnsq.protocol.nop() == b"NOP\n"
    assert gnsq.errors.ERROR_CODES[b"E_FIN_FAILED"].fatal is False


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host", Address("host", 4150)),
        ("host:1", Address("host", 1)),
        ("[::1]:4152", Address("::1", 4152)),
        ("[::1]", Address("::1", 4150)),
        (" 10.0.0.1:80 ", Address("10.0.0.1", 80)),
    ],
)
def test_addresses_are_read_ipv6_included(text: str, address: Address) -> None:
    """1.3 item 37."""
    assert parse_address(text, default_port=4150) == address
    assert parse_address(str(address), default_port=4150) == address


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:x", "host:70000", "host:0", "::1", "[::1", "[::1]x", "a b:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    if text == "host:":
        assert parse_address(text, default_port=4150) == Address("host", 4150)
        return
    with pytest.raises(ConfigurationError, match="address"):
        parse_address(text, default_port=4150)


def test_lists_of_addresses_hold_each_once() -> None:
    assert parse_addresses("a:1,b:2,a:1,", default_port=4150) == (Address("a", 1), Address("b", 2))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nsq://", "give addresses"),
        ("nsq://h:4161?max_inflight=5", "unknown option 'max_inflight'"),
        ("nsq://h:4161?copies=many", "option 'copies'"),
        ("nsq://h:4161?copies=0", "option 'copies'"),
        ("nsq://h:4161?compression=zip", "option 'compression'"),
        ("nsq://h:4161?tls_ca=x.pem", "neither tls=true nor lookup_https=true"),
        ("nsq://h:4161?tls=true&tls_cert=x.pem", "belong together"),
        ("nsq://user:hunter2@h:4161", "EVENTBUS_NSQ_AUTH_SECRET"),
        ("nsq://h:4161/topic", "means nothing"),
        ("nsq://h:4161?publish=h:port", "option 'publish'"),
        ("nsq+direct://h?copies=2", "needs as many nsqd"),
    ],
)
def test_a_url_that_cannot_work_is_refused_by_name(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Bus(url)
    assert "hunter2" not in str(caught.value)


def test_options_come_from_the_environment_too_and_the_url_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTBUS_NSQ_LOOKUP_INTERVAL", "3")
    monkeypatch.setenv("EVENTBUS_NSQ_COPIES", "2")
    monkeypatch.setenv("EVENTBUS_NSQ_PUBLISH", "a:1,b:2")
    monkeypatch.setenv("EVENTBUS_NSQ_AUTH_SECRET", "s3cret")
    engine = open_nsq("nsq://h?copies=1&max_in_flight=7&message_timeout=30")
    assert (engine.options.lookup_interval, engine.options.copies) == (3.0, 1)
    assert engine.options.publish == (Address("a", 1), Address("b", 2))
    with Bus(engine=engine) as bus:
        assert (bus.max_in_flight, bus.message_timeout) == (7, 30.0)
    assert "s3cret" not in repr(engine) + repr(engine.options) + str(engine.options)


def test_an_engine_takes_one_kind_of_address() -> None:
    with pytest.raises(ConfigurationError, match="one of the two"):
        NsqEngine()


def buffer(max_frame: int = 100_000) -> FrameBuffer[Any]:
    return FrameBuffer(lambda *parts: parts, max_frame)


@given(
    bodies=st.lists(st.binary(max_size=40_000), max_size=6),
    cuts=st.lists(st.integers(1, 60_000), min_size=1, max_size=20),
    into_space=st.booleans(),
)
def test_frames_come_out_the_same_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int], into_space: bool) -> None:
    """1.3 item 33."""
    stream = b"".join(message(body) + frame(0, b"_heartbeat_") for body in bodies)
    parser, got, others = buffer(), [], []
    position = turn = 0
    while position < len(stream):
        part = stream[position : position + cuts[turn % len(cuts)]]
        if into_space:
            space = parser.space()
            part = part[: len(space)]
            space[: len(part)] = part
            parser.filled(len(part))
        else:
            parser.feed(part)
        position += len(part)
        turn += 1
        messages, rest = parser.take()
        got += messages
        others += rest
    assert [each[3] for each in got] == bodies
    assert others == [(0, b"_heartbeat_")] * len(bodies)


def test_attempts_are_unsigned() -> None:
    """1.3 item 16."""
    parser = buffer()
    parser.feed(message(b"x", attempts=40_000))
    assert parser.take()[0][0][1] == 40_000


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "give nsqd's TCP port"),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00", "no NSQ frame"),
        (struct.pack(">ii", 2**31 - 1, 2), "no NSQ frame"),
        (struct.pack(">ii", -5, 0), "no NSQ frame"),
        (struct.pack(">ii", 10, 77) + b"123456", "no NSQ frame"),
        (frame(2, b"short"), "too short"),
        (b"SSH-2.0-OpenSSH", "no NSQ frame"),
    ],
)
def test_what_is_no_nsq_is_named_and_takes_no_memory(data: bytes, said: str) -> None:
    parser = buffer()
    parser.feed(data)
    with pytest.raises(ProtocolError, match=said):
        parser.take()


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_protocol_error(data: bytes) -> None:
    parser = buffer()
    parser.feed(data)
    with suppress(ProtocolError):
        parser.take()


def test_an_mpub_holds_what_the_protocol_says() -> None:
    assert frames.publish_many_frame(b"t", [b"a", b"bc"]) == (
        b"MPUB t\n" + struct.pack(">ii", 4 + 5 + 6, 2) + struct.pack(">i", 1) + b"a" + struct.pack(">i", 2) + b"bc"
    )


@pytest.mark.parametrize(
    ("data", "code", "is_fatal"),
    [
        (b"E_FIN_FAILED FIN abc failed ID not in flight", "E_FIN_FAILED", False),
        (b"E_TOUCH_FAILED x", "E_TOUCH_FAILED", False),
        (b"E_BAD_TOPIC x", "E_BAD_TOPIC", True),
        (b"E_NEVER_HEARD_OF", "E_NEVER_HEARD_OF", True),
        (b"\xff\xfe", "\ufffd\ufffd", True),
    ],
)
def test_errors_are_fatal_unless_known_not_to_be(data: bytes, code: str, is_fatal: bool) -> None:
    error = read_error(data)
    assert (error.code, error.is_fatal) == (code, is_fatal)


def test_deflated_bombs_are_refused() -> None:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = squeezer.compress(b"\0" * (80 * 1024 * 1024)) + squeezer.flush()
    with pytest.raises(OSError, match="grow beyond"):
        DeflateLayer(6).decode(bomb)


def test_statistics_of_several_nsqd_are_added() -> None:
    channel = {
        "channel_name": "c",
        "depth": 1,
        "in_flight_count": 2,
        "deferred_count": 3,
        "client_count": 4,
        "message_count": 5,
        "requeue_count": 6,
        "timeout_count": 7,
        "paused": False,
    }
    topic = {"topic_name": "t", "depth": 5, "message_count": 9, "paused": False, "channels": [channel]}
    one = {"topics": [topic]}
    two = {"topics": [{**topic, "depth": 6, "paused": True, "channels": [{**channel, "paused": True}]}]}
    found = join_stats([fit(one, Stats), fit(two, Stats)])["t"]
    assert (found.depth, found.messages, found.is_paused) == (11, 18, True)
    counts = found.channels["c"]
    assert (counts.messages, counts.requeued, counts.timed_out) == (10, 12, 14)
    assert (found.channels["c"].depth, found.channels["c"].in_flight, found.channels["c"].is_paused) == (2, 4, True)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"producers": 5},
        {"producers": [{"broadcast_address": "h"}]},
        {"producers": [{"broadcast_address": 7, "tcp_port": 1, "http_port": 2}]},
        {"producers": [{"broadcast_address": "h", "tcp_port": "1", "http_port": 2}]},
        {"producers": [{"broadcast_address": "h", "tcp_port": 99999, "http_port": 2}]},
        [],
    ],
)
def test_nonsense_of_nsqlookupd_is_noticed(answer: Any) -> None:
    with pytest.raises(ValueError, match="producers|the answer|valid"):
        fit(answer, Producers)


_fields = sorted({name for model in (Identified, Producers, Stats, Info) for name in model.model_fields})
_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*_fields, "x"]), inner, max_size=4),
    max_leaves=12,
)


@given(tree=_trees, model=st.sampled_from([Identified, Producers, Stats, Info]))
def test_no_answer_of_a_peer_raises_anything_but_a_value_error_in_few_words(tree: Any, model: type[Answer]) -> None:
    try:
        fit(tree, model)
    except ValueError as error:
        assert len(str(error)) < 500


@pytest.mark.parametrize("text", ["\x1b]0;x\x07" + "A" * 3_000_000, "line\nline", "\u202eright"])
def test_the_text_of_a_peer_is_one_short_line(text: str) -> None:
    for shown in (peer_text(text), read_error(b"E_X " + text.encode()).text, describe(ServerError("E_X", text))):
        assert len(shown) < 300
        assert shown.isprintable()


def test_the_environments_options_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTBUS_NSQ_HEARTBEAT", "0")
    with pytest.raises(ConfigurationError, match="heartbeat"):
        open_nsq("nsq://h")
    assert NsqOptions(heartbeat=5).heartbeat == 5
