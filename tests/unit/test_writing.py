"""What is published can be read: what no reader takes, or would take for something else, is refused when it is published."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import msgpack
import pytest
from pydantic import Field, Secret, SecretBytes, SecretStr, create_model
from typing_extensions import TypedDict

from eventbus import Bus, ConfigurationError, Context, DecodeError, EncodeError, Event, EventDefinitionError, Service, Value
from eventbus.testing import Harness
from eventbus.wire.codec import JsonCodec, MsgpackCodec, decode, dump
from eventbus.wire.envelope import Envelope
from eventbus.wire.writing import plan_of
from tests.waiting import eventually

ONE = UUID(int=1)


class Small(Value):
    x: int


class Large(Value):
    x: int
    y: int = 0


class Other(Value):
    y: int


class Keyed(Value):
    by_number: dict[int, Any]


class Colour(Enum):
    red = "red"


@dataclasses.dataclass
class Point:
    x: float


def event(kind: Any) -> type[Event]:
    made: type[Event] = create_model("E", __base__=Event, __cls_kwargs__={"topic": "t", "version": 1}, a=(kind, ...))
    return made


def over_the_wire(sent: Event) -> Any:
    for codec in (MsgpackCodec(), JsonCodec()):
        body = codec.encode(Envelope("1", "s", "E", "2026-01-31T12:00:00Z", dump(sent)))
        read = type(sent).__pydantic_validator__.validate_python(decode(body).data, extra="ignore")
    return read


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((SecretStr, "hush"), (SecretBytes, b"\xff"), (Secret[int], 5), (Secret[date], date(2026, 1, 1))),
        *((list[datetime], [datetime(1900, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28)))]),),
        *((datetime | None, datetime(1900, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28)))), (bytes, b"\xff")),
        *((UUID | str, "text"), (Decimal | int, Decimal(1)), (Decimal | int, 1), (Small | Large, Large(x=1, y=2))),
        *((date | datetime, datetime(2026, 1, 1, 1, tzinfo=UTC)), (IPv4Address, IPv4Address("192.0.2.1"))),
    ],
)
def test_what_is_sent_is_read_back_equal(kind: Any, value: Any) -> None:
    sent = event(kind)(a=value)
    assert over_the_wire(sent).a == sent.a  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((UUID | str, ONE), (str | bytes, b"abc"), (int | Decimal, Decimal(1)), (Colour | UUID | str, ONE)),
        *((date | datetime, datetime(2026, 1, 1, tzinfo=UTC)), (list[int] | tuple[int, ...], (1,)), (Any, float("nan"))),
        *((Point, Point(float("inf"))), (time, time(1, tzinfo=timezone(timedelta(seconds=1)))), (Point, Point("text"))),  # type: ignore[arg-type]
        (datetime, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        *((Any, {1: 2}), (dict, {None: 2}), (dict[str, Any], {"a": [{True: 2}]}), (dict[int, Any], {1: {(1, 2): 3}})),
        *((list, [{"1": 2, 1: 3}]), (dict[str, Any], {"a": Keyed(by_number={1: {2: 3}})})),
    ],
)
def test_what_would_be_read_as_another_value_is_refused(kind: Any, value: Any) -> None:
    sent = event(kind)(a=value)
    with pytest.raises(EncodeError, match="^E: "):
        dump(sent)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            (Any, {"1": (1, 2)}),
            (Any, None),
            (dict[int, Any], {1: {"a": [ONE]}}),
            (dict[Colour, Any], {Colour.red: {"a": 1}}),
        ),
        (dict[str, Any], {"a": [{"b": b"c", "d": Colour.red}, Small(x=1)]}),
    ],
)
def test_what_has_keys_of_text_travels_whatever_its_values(kind: Any, value: Any) -> None:
    over_the_wire(event(kind)(a=value))


@pytest.mark.parametrize("kind", [int, str | None, datetime, list[Small], dict[str, Small], Small | Other, int | str, float])
def test_a_class_that_proves_its_values_costs_nothing(kind: Any) -> None:
    plan = plan_of(event(kind))
    assert plan is None or not (plan.is_walked or plan.lookalikes or plan.is_aliased)


def test_an_alias_is_the_name_on_the_wire_in_both_directions() -> None:
    class Aliased(Event, topic="t", version=1):
        order_id: str = Field(alias="orderId")
        sent_at: datetime = Field(serialization_alias="sentAt")

    sent = Aliased(orderId="A1", sent_at=datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert dump(sent) == {"orderId": "A1", "sentAt": "2026-01-01T00:00:00Z"}
    assert over_the_wire(sent) == sent


def test_a_value_whose_parts_lose_bytes_is_refused_when_it_is_made() -> None:
    class Raw(TypedDict):
        b: bytes

    with pytest.raises(EventDefinitionError, match="Raw has a bytes field"):

        class Holder(Value):
            raw: Raw


class Sent(Event, topic="t", version=1):
    numbers: list[int] = []
    lists: list[list[int]] = []
    anything: Any = None


def deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


def harness() -> Harness:
    service = Service("reader")

    @service.on(Sent)
    def read(event: Sent) -> None: ...

    return Harness(service)


def test_the_limits_of_readers_are_those_of_writers() -> None:
    with harness() as bus:
        for event in (Sent(numbers=[1] * 131_073), Sent(lists=[[]] * 65_600), Sent(anything=deep(31))):
            with pytest.raises(EncodeError, match="no reader takes it"):
                bus.publish(event)
        bus.publish(Sent(numbers=[1] * 131_000))
        bus.publish(Sent(anything=deep(30)))
        for subject in ("a\tb", "\x85", "x" * 1025, 5):
            with pytest.raises(EncodeError, match="attribute subject"):
                bus.publish(Sent(), subject=subject)  # type: ignore[arg-type]
        for subject in ("10\u00a0kg", "\u200d", "ü"):
            bus.publish(Sent(), subject=subject)
        bus.settle()
        assert bus.dead_letters("reader") == []


def test_a_source_is_a_uri_reference() -> None:
    read: list[str] = []
    service = Service("reader")

    @service.on(Sent)
    def note(event: Sent, context: Context) -> None:
        read.append(context.source)

    with Bus("memory://", source="my über service") as bus:
        bus.start(service)
        bus.publish(Sent())
        eventually(lambda: read == ["my%20%C3%BCber%20service"])
    with pytest.raises(ConfigurationError, match="source="):
        Bus("memory://", source="x" * 256)
    with pytest.raises(EventDefinitionError, match="no reader takes"):
        create_model("E", __base__=Event, __cls_kwargs__={"topic": "t", "name": "n" * 256})


def envelope(**attributes: Any) -> bytes:
    return json.dumps({"specversion": "1.0", "id": "1", "source": "/x", "type": "E", **attributes}).encode()


@pytest.mark.parametrize("time", [None, "", "yesterday", "2026-01-31T12:00:00", "2026-01-31t12:00:00z"])
def test_the_time_of_an_event_is_always_a_time(time: str | None) -> None:
    read = decode(envelope(data={}) if time is None else envelope(data={}, time=time))
    assert read.occurred_at.tzinfo is not None
    assert read.occurred_at == read.occurred_at
    if time is not None and time.endswith("z"):
        assert read.occurred_at == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_integers_as_text_and_binary_data_are_read() -> None:
    assert decode(envelope(data={}, dataversion="2", depth="1")).version == 2
    data = base64.b64encode(b'{"a": 1}').decode()
    assert decode(envelope(data_base64=data, datacontenttype="application/json")).data == {"a": 1}
    packed = base64.b64encode(msgpack.packb({"a": 1})).decode()
    assert decode(envelope(data_base64=packed, datacontenttype="application/msgpack")).data == {"a": 1}
    with pytest.raises(DecodeError, match="base64"):
        decode(envelope(data_base64="%%"))
    with pytest.raises(DecodeError, match="only JSON and msgpack"):
        decode(envelope(data_base64=data, datacontenttype="image/png"))


def test_the_reason_does_not_depend_on_the_library() -> None:
    body = msgpack.packb(
        {"specversion": "1.0", "id": "1", "source": "x", "type": "E", "data": datetime(2026, 1, 1, tzinfo=UTC)},
        datetime=True,
    )
    with pytest.raises(DecodeError, match="extension type"):
        decode(body)
