"""Personal fields: hidden wherever people look, by the class and in whatever form; whole for whoever handles them."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from typing import Annotated, Any, NamedTuple, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, RootModel, computed_field, create_model
from pydantic.dataclasses import dataclass as checked_dataclass
from typing_extensions import TypedDict

from eventbus import Event, Personal, Service, Value
from eventbus.contracts.contract import contract_of
from eventbus.contracts.words import described
from eventbus.publishing.envelopes import EnvelopeFactory
from eventbus.publishing.templates import Template
from eventbus.runtime.clock import SystemClock
from eventbus.runtime.randomness import Randomness
from eventbus.testing import Harness
from eventbus.wire.codec import MsgpackCodec, decode
from eventbus.wire.envelope import MAX_ATTRIBUTE_LENGTH
from eventbus.wire.personal import HIDDEN, KEYWORD, hide, personal_fields

SECRET = "ada@example.org"
Address = NewType("Address", str)


class Person(Value):
    name: Personal[str]
    age: int = 36


class Node(Value):
    label: Personal[str]
    kids: tuple[Node, ...] = ()


class Pair(NamedTuple):
    who: Personal[str]
    number: int


class Row(TypedDict):
    who: Personal[str]


@checked_dataclass
class Card:
    holder: Personal[str]
    limit: int = 1


@dataclasses.dataclass
class Plain:
    holder: Personal[str]


class Names(RootModel[list[Personal[str]]]):
    pass


class Registered(Event, topic="registered", version=1):
    email: Personal[str]
    short: Personal[int] = 7
    raw: Personal[bytes] = SECRET.encode()
    renamed: Personal[str] = Field(default=SECRET, serialization_alias="as")
    odd: Personal[str] = Field(default=SECRET, serialization_alias="odd.na*me")
    maybe: Personal[str] | None = SECRET
    bounded: Annotated[Personal[str], Field(max_length=99)] | None = SECRET
    address: Personal[Address] = Address(SECRET)
    several: tuple[Personal[str], ...] = (SECRET,)
    keyed: dict[Personal[str], int] = {SECRET: 1}
    by: dict[str, Person] = {"a": Person(name=SECRET)}
    person: Person | None = Person(name=SECRET)
    either: Person | int = Person(name=SECRET)
    tree: Node = Node(label=SECRET, kids=(Node(label=SECRET),))
    pair: Pair = Pair(SECRET, 1)
    row: Row = {"who": SECRET}
    card: Card = Field(default_factory=lambda: Card(SECRET))
    plain: Plain = Field(default_factory=lambda: Plain(SECRET))
    names: Names = Names([SECRET])
    open: str = "seen"

    @computed_field
    def made(self) -> Personal[str]:
        return f"<{SECRET}>"


EVENT = Registered(email=SECRET)
FORMS = (SECRET, SECRET.upper(), SECRET.encode().hex(), base64.b64encode(SECRET.encode()).decode(), "ada@")


def test_no_form_of_a_personal_value_is_in_what_python_shows_of_an_event() -> None:
    for shown in (repr(EVENT), str(EVENT), f"{EVENT}", f"{[EVENT, {'of': EVENT}]}", repr(Person(name=SECRET))):
        assert not [form for form in FORMS if form.casefold() in shown.casefold()]
        assert HIDDEN in shown
    assert "open='seen'" in repr(EVENT)
    assert "age=36" in repr(EVENT)
    assert repr(Registered(email=SECRET, maybe=None)).count("maybe=None") == 1


def test_the_paths_travel_and_hide_in_data_what_the_class_marks() -> None:
    envelope = EnvelopeFactory(MsgpackCodec(), "shop", clock=SystemClock(), randomness=Randomness(1), max_bytes=10**6).make(
        EVENT
    )
    assert envelope.extensions is not None
    shown = json.dumps(hide(envelope.data, envelope.extensions["personal"]))
    assert not [form for form in FORMS if form.casefold() in shown.casefold()]
    assert personal_fields(Person) == "name"
    assert hide({"name": SECRET, "age": 36}, "name") == {"name": HIDDEN, "age": 36}


def test_a_template_writes_them_as_the_plain_way_does_and_both_readers_find_them() -> None:
    class Told(Event, topic="told", version=1):
        who: Personal[str]

    class Nobody(Event, topic="told", version=1):
        who: str

    for kind, said in ((Told, {"personal": "who"}), (Nobody, None)):
        body = Template(kind, "shop").write("1", "2026-01-31T12:00:00Z", {"who": SECRET})
        envelope = decode(body)
        assert envelope.extensions == said
        assert MsgpackCodec().encode(envelope) == body


def test_where_paths_are_too_long_whole_fields_or_all_are_hidden() -> None:
    fields: dict[str, Any] = {f"field_{number:04}": (Personal[str], "x") for number in range(200)}
    wide = create_model("Wide", __base__=Event, **fields)
    deep = create_model("Deep", __base__=Event, one=(wide, ...))
    assert personal_fields(wide) == "*"
    assert personal_fields(deep) == "one"
    assert hide({"a": 1, "b": [2]}, "*") == {"a": HIDDEN, "b": HIDDEN}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab.*,"), inner),
    ),
    st.text("ab.*,é\x00", max_size=MAX_ATTRIBUTE_LENGTH),
)
def test_whatever_a_stranger_calls_personal_breaks_nothing(data: Any, paths: str) -> None:
    json.dumps(hide(data, paths))


def test_handlers_are_given_the_values_and_logs_are_not(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    service = Service("mail")

    @service.on(Registered)
    def greet(event: Registered) -> None:
        seen.append(event.email)
        raise ValueError(f"no mail to {event.email}, {event!r}")

    with caplog.at_level(logging.DEBUG), Harness(service) as harness, harness.expecting(ValueError):
        harness.publish(EVENT)
        harness.settle()
        (letter,) = harness.dead_letters(service)
    assert set(seen) == {SECRET}
    assert letter.envelope().data["email"] == SECRET
    assert caplog.text
    assert not [form for form in FORMS if form.casefold() in caplog.text.casefold()]


def test_contracts_show_the_mark() -> None:
    class Joined(Event, topic="joined", version=1):
        email: Personal[str]
        open: str
        person: Person

    schema = contract_of(Joined, "shop").schema
    assert schema["properties"]["email"][KEYWORD] is True
    assert KEYWORD not in schema["properties"]["open"]
    assert [described(schema, path)["personal"] for path in ("email", "person.name", "person.age")] == ["personal"] * 2 + [
        ""
    ]
