"""The embedded engine: typed publish to handled, beside the codec alone; and what a cause adds to decoding."""

from __future__ import annotations

import base64
import os
import tempfile
import time
from collections.abc import Callable

import gevent

from benchmarks.order import SERVICE, OrderPlaced, make_order, renew, travelling
from benchmarks.rows import Row, compare
from eventbus import Bus, Service
from eventbus.event import event_info
from eventbus.settings import BusSettings
from eventbus.wire.codec import MsgpackCodec, decode, dump
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter, new_id

_EVENTS = 40_000
_SAMPLE = [make_order() for _ in range(1000)]


def codec_alone() -> float:
    """Events a second through dump, encode, decode and validate, with nothing between."""
    encode, write, validate = (
        MsgpackCodec().encode,
        InstantWriter().write,
        OrderPlaced.__pydantic_validator__.validate_python,
    )
    info = event_info(OrderPlaced)
    began = time.perf_counter()
    for _ in range(_EVENTS // len(_SAMPLE)):
        for order in _SAMPLE:
            body = encode(Envelope(new_id(), "orders", info.name, write(time.time()), dump(order)))
            validate(decode(body).data, extra="ignore")
    return _EVENTS / (time.perf_counter() - began)


def embedded(channels: int, *, is_signed: bool = False) -> Callable[[], float]:
    """Events a second, published one by one and handled on each of `channels` channels."""
    settings = signed_settings() if is_signed else None

    def measure() -> float:
        handled = 0

        def handle(order: OrderPlaced) -> None:
            nonlocal handled
            handled += 1

        services = []
        for number in range(channels):
            service = Service(f"subscriber{number}")
            service.on(OrderPlaced)(handle)
            services.append(service)
        with Bus("memory://", source="bench", settings=settings) as bus:
            bus.start(*services)
            began = time.perf_counter()
            for _ in range(_EVENTS // len(_SAMPLE)):
                for order in _SAMPLE:
                    bus.publish(renew(order))
            while handled < _EVENTS * channels:
                gevent.sleep(0.001)
            return _EVENTS / (time.perf_counter() - began)

    return measure


def signed_settings() -> BusSettings:
    """Settings under which everything is signed and checked, with a key made now."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False) as file:
        secret = base64.b64encode(os.urandom(32)).decode()
        file.write(f'sign_with = "bench"\n[keys.bench]\nsecret = "{secret}"\nsources = ["bench"]\n')
    return BusSettings(sign="require", keys_file=file.name)


def decoding(is_caused: bool) -> Callable[[], float]:
    """Decode orders, with a cause, depth, trace and receipts or without; return events a second of CPU."""
    with Bus("memory://", source=SERVICE) as bus:
        envelopes, order = bus.publisher.envelopes, make_order()
        body = travelling(envelopes, order) if is_caused else envelopes.encode(envelopes.make(order))

    def measure() -> float:
        began = time.process_time()
        for _ in range(_EVENTS):
            decode(body)
        return _EVENTS / (time.process_time() - began)

    return measure


def rows(rounds: int) -> list[Row]:
    """Measure the embedded engine."""
    return [
        compare(
            "decode, with cause, receipts and trace", decoding(True), "without", decoding(False), rounds=rounds, goal=0.77
        ),
        compare("embedded, 1 channel", embedded(1), "codec both ways", codec_alone, rounds=rounds, goal=0.7),
        compare(
            "embedded, 1 channel, signed and checked",
            embedded(1, is_signed=True),
            "unsigned",
            embedded(1),
            rounds=rounds,
            goal=0.9,
        ),
        compare("embedded, 3 channels", embedded(3), "codec both ways", codec_alone, rounds=rounds),
    ]
