"""Templates write the same bytes as the plain way, for random classes, values, sources and causes, and fail in its words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from eventbus import EncodeError, Event, MessageTooLargeError, Value
from eventbus.context import current_cause
from eventbus.event import event_id
from eventbus.publishing import envelopes
from eventbus.publishing.envelopes import EnvelopeFactory
from eventbus.runtime.clock import SystemClock
from eventbus.runtime.randomness import Randomness
from eventbus.wire.codec import JsonCodec, MsgpackCodec, decode
from eventbus.wire.envelope import Envelope


class StoppedClock:
    """Always the same time."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(SystemClock(), name)


class Line(Value):
    sku: str
    price: Decimal


class Longer(Line):
    more: str = "more"


VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    int: st.integers(-(2**63), 2**64 - 1),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bytes: st.binary(max_size=70),
    UUID: st.uuids(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    datetime: st.datetimes(
        datetime(2, 1, 1),
        datetime(9998, 1, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=3))]),
    ),
    str | None: st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    list[int]: st.lists(st.integers(-1000, 1000), max_size=40),
    dict[str, int]: st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), st.integers(0, 9)),
    tuple[Line, ...]: st.lists(
        st.builds(Line, sku=st.text("abc"), price=st.decimals(allow_nan=False, allow_infinity=False, places=2))
        | st.builds(Longer, sku=st.text("abc"), price=st.just(Decimal(1)))
    ).map(tuple),
}
ATTRIBUTES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x24F, exclude_categories=["Cc"]), min_size=1, max_size=255
)
SOURCES = st.text(min_size=1, max_size=20).filter(lambda text: text.isascii() and text.isprintable())


@st.composite
def events(draw: st.DrawFn) -> Event:
    types = draw(st.lists(st.sampled_from(list(VALUES)), min_size=0, max_size=8))
    name = draw(st.text("Abcé ", min_size=1, max_size=40).filter(str.isprintable))
    version = draw(st.none() | st.integers(1, 2**31 - 1))
    fields: dict[str, Any] = {f"field{place}": (kind, ...) for place, kind in enumerate(types)}
    keywords: dict[str, Any] = {"topic": "random", "name": name, "version": version}
    kind: Any = create_model("Random", __base__=Event, __cls_kwargs__=keywords, **fields)
    values = {f"field{place}": draw(VALUES[each]) for place, each in enumerate(types)}
    if draw(st.booleans()):
        return kind(**values)  # type: ignore[no-any-return]
    return kind.model_construct(**values)  # type: ignore[no-any-return]


CAUSES = st.none() | st.tuples(
    st.builds(
        Envelope,
        id=ATTRIBUTES,
        source=ATTRIBUTES,
        type=st.just("Earlier"),
        time=st.just(""),
        data=st.none(),
        correlation_id=st.none() | ATTRIBUTES,
        others=st.fixed_dictionaries(
            {"depth": st.sampled_from([0, 1, 15, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 2])},
            optional={"traceparent": st.none() | ATTRIBUTES, "subject": ATTRIBUTES},
        ),
    ),
    ATTRIBUTES,
)


def factory(source: str = "orders", now: float = 1_800_000_000.25, codec: Any = None, most: int = 10**6) -> EnvelopeFactory:
    clock: Any = StoppedClock(now)
    return EnvelopeFactory(codec or MsgpackCodec(), source, clock=clock, randomness=Randomness(1), max_bytes=most)


@given(event=events(), cause=CAUSES, source=SOURCES, now=st.floats(0, 4e9), is_json=st.booleans())
def test_the_bytes_are_those_of_the_envelope(event: Event, cause: Any, source: str, now: float, is_json: bool) -> None:
    made = factory(source, now, JsonCodec() if is_json else None)
    token = current_cause.set(cause)
    try:
        try:
            plainly = made.make(event)
            expected = made.encode(plainly)
        except EncodeError as error:
            with pytest.raises(EncodeError) as caught:
                made.write(event)
            assert str(caught.value) == str(error)
        else:
            for _ in range(2):  # the template is made, and used
                assert made.write(event) == (event_id(event), plainly.source, expected)
    finally:
        current_cause.reset(token)


class Wide(Event, topic="t"):
    number: Any = 0
    text: str = ""


@pytest.mark.parametrize(
    ("event", "most"),
    [
        (Wide(number=2**64), 10**6),
        (Wide(number={1: 2}), 10**6),
        (Wide(text="\ud800"), 10**6),
        (Wide(text="x" * 900), 1000),
        (Wide(number=[[]] * 70_000), 10**6),
        (Wide.model_construct(number=float("nan")), 10**6),
    ],
)
def test_what_cannot_be_sent_is_refused_in_the_same_words(event: Event, most: int) -> None:
    made = factory(most=most)
    with pytest.raises((EncodeError, MessageTooLargeError)) as plainly:
        made.encode(made.make(event))
    with pytest.raises(type(plainly.value)) as caught:
        made.write(event)
    assert str(caught.value) == str(plainly.value)


def test_a_class_has_a_template_for_each_source_and_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = factory()
    monkeypatch.setattr(envelopes, "_MOST_TEMPLATES", 3)
    origin = Envelope("1", "shop", "Earlier", "", None)
    for number in range(10):
        token = current_cause.set((origin, f"service-{number}"))
        try:
            assert decode(made.write(Wide())[2]).source == f"service-{number}"
        finally:
            current_cause.reset(token)
    assert len(made._templates) <= 3
