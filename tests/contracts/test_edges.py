"""The edges: what the wire carries, what a contract says and what a view reads agree, kind by kind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    ConfigDict,
    Field,
    FilePath,
    HttpUrl,
    computed_field,
    create_model,
    field_serializer,
    model_serializer,
    model_validator,
)

from eventbus import ContractError, Event, Value
from eventbus.contracts import Contract, View, breaks, check_views, contract_of, impact, publish, read_contract
from eventbus.contracts.data import DataCheck
from eventbus.errors import MisfitError


def event(kind: Any, *, version: int | None = 1, name: str = "a") -> type[Event]:
    keywords: dict[str, Any] = {"topic": "t", **({"version": version} if version else {"name": "E"})}
    made: type[Event] = create_model(
        "E", __base__=Event, __cls_kwargs__=keywords, **{name: kind if isinstance(kind, tuple) else (kind, ...)}
    )
    return made


def published(owner: type[Event]) -> Contract:
    return read_contract(contract_of(owner, "o").to_json(), "file")


def misfits(owner: Any, view: Any) -> list[str]:
    read = view if isinstance(view, type) and issubclass(view, Event) else event(view, version=None)
    made = owner if isinstance(owner, type) and issubclass(owner, Event) else event(owner)
    return [str(each) for each in check_views([View("s", "s", "h", read)], [published(made)])]


class Note(Value):
    note: str


class ShortNote(Value):
    note: Annotated[str, Field(max_length=500)]


class Holder(Value):
    inner: Note


class ShortHolder(Value):
    inner: ShortNote


class AnyHolder(Value):
    inner: Any


YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_was_assumed_in_a_union_is_asked_again_elsewhere() -> None:
    fields = {"x": (Holder, ...), "y": (Note, ...)}
    owner = create_model("E", __base__=Event, __cls_kwargs__={"topic": "t", "version": 1}, **fields)  # type: ignore[call-overload]
    wanted = {"x": (ShortHolder | AnyHolder, ...), "y": (ShortNote, ...)}
    view = create_model("E", __base__=Event, __cls_kwargs__={"topic": "t"}, **wanted)  # type: ignore[call-overload]
    assert any("`y.note`" in each for each in misfits(owner, view))


class Extra(Event, topic="t", version=1):
    model_config = ConfigDict(extra="allow")
    b: int


class Rewritten(Event, topic="t", version=1):
    a: int

    @model_serializer
    def write(self) -> dict[str, int]:
        return {"x": self.a}


class Doubled(Event, topic="t", version=1):
    a: int

    @field_serializer("a")
    def write(self, value: int) -> str:
        return f"<{value}>"


class OnlyRead(Event, topic="t", version=1):
    a: int = Field(validation_alias="b")


class BadDefault(Event, topic="t", version=1):
    note: str = None  # type: ignore[assignment]


class DeepDefault(Event, topic="t", version=1):
    class Part(Value):
        note: str = None  # type: ignore[assignment]

    parts: list[Part]


@pytest.mark.parametrize(
    "owner",
    [
        Extra,
        Rewritten,
        Doubled,
        OnlyRead,
        BadDefault,
        DeepDefault,
        event(UUID | str),
        event(date | datetime),
        event(FilePath),
        event(dict[tuple[int, int], int]),
    ],
)
def test_what_does_not_come_back_as_it_was_sent_is_refused(owner: type[Event]) -> None:
    with pytest.raises(ContractError, match=rf"^{owner.__name__}: "):
        contract_of(owner, "o")


class Computed(Event, topic="t", version=1, name="E"):
    a: int
    kept_here: int = Field(0, exclude=True)
    other: int = Field(serialization_alias="another")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def b(self) -> int:
        return self.a * 2


def test_what_can_be_honoured_is() -> None:
    assert set(published(Computed).schema["properties"]) == {"a", "b", "another"}
    assert misfits(Computed, Computed) == []
    assert misfits(Computed, event(int, version=None, name="b")) == []
    renamed = event((int, Field(validation_alias=AliasChoices("quantity", "amount"))), version=None, name="quantity")
    assert misfits(event(int, name="amount"), renamed) == []


class Ordered(Event, topic="t", version=1):
    low: int
    high: int

    @model_validator(mode="after")
    def ordered(self) -> Ordered:
        if self.low > self.high:
            raise ValueError("low > high")
        return self


def test_a_value_that_the_owner_cannot_make_is_not_held_against_a_view() -> None:
    contract = published(Ordered)
    assert contract.trials is not None and all(each["low"] <= each["high"] for each in contract.trials)
    assert misfits(Ordered, Ordered) == []


class Old(Value):
    number: str


class Card(Value):
    kind: Literal["card"] = "card"
    number: str


class Cash(Value):
    kind: Literal["cash"] = "cash"
    till: int


def test_a_discriminator_needs_its_tag_though_it_has_a_default() -> None:
    older, newer = event(Old), event(Annotated[Card | Cash, Field(discriminator="kind")], version=2)
    assert breaks(contract_of(older, "o"), contract_of(newer, "o"), "backward")


def test_fields_may_have_the_names_of_keywords() -> None:
    fields = {"required": (dict[str, bool], {"required": True}), "properties": (dict[str, str], {}), "a.b": (int, 0)}
    owner = create_model("E", __base__=Event, __cls_kwargs__={"topic": "t", "version": 1}, **fields)  # type: ignore[call-overload]
    assert breaks(published(owner), published(owner)) == []
    assert contract_of(owner, "o").shape() == published(owner).shape()
    assert impact('t."a.b"', [View("s", "s", "h", owner)], [published(owner)])[0] == ["s.h"]


class Meta(Value):
    a: int
    b: int


@pytest.mark.parametrize("view", [dict[str, Any], Any, dict[str, int]])
def test_who_reads_a_whole_reads_its_parts(view: Any) -> None:
    readers, unread = impact("t.a.b", [View("s", "s", "h", event(view, version=None))], [published(event(Meta))])
    assert (readers, unread) == (["s.h"], [])


def test_a_field_may_be_deprecated_and_told_of_without_a_new_version() -> None:
    told = Field(deprecated=True, description="use b", json_schema_extra={"x-pii": True})
    assert contract_of(event((int, told)), "o").shape() == contract_of(event(int), "o").shape()


def test_an_event_has_one_owner_and_does_not_vanish(tmp_path: Any) -> None:
    other = create_model("Other", __base__=Event, __cls_kwargs__={"topic": "t", "version": 1}, a=(int, ...))
    publish([(event(int), "o"), (other, "o")], tmp_path)
    assert "two owners" in publish([(event(int), "billing")], tmp_path).refused[0]
    assert "its class is gone" in publish([(event(int), "o")], tmp_path, is_check=True).refused[0]
    with_slash = create_model(
        "S", __base__=Event, __cls_kwargs__={"topic": "t", "version": 1, "name": "com.x/y"}, a=(int, ...)
    )
    assert publish([(with_slash, "p")], tmp_path).written == ("t/com.x%2Fy.v1.json",)


def test_a_topic_without_room_for_a_channel_is_told() -> None:
    with pytest.warns(UserWarning, match="leaves none for the channel"):
        create_model("E", __base__=Event, __cls_kwargs__={"topic": "t" * 60, "version": 1}, a=(int, ...))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((Annotated[Decimal, Field(ge=0)], "-5"), (Decimal, "NaN"), (bytes, "not base64!"), (timedelta, "soon")),
        *((date, "20260131"), (datetime, "2026-W05-6T12:00+00:00"), (HttpUrl, "ftp://x/"), (dict[int, int], {"x": 1})),
        *((Annotated[datetime, Field(ge=YEAR)], "2025-12-31T00:00:00Z"), (Annotated[bytes, Field(max_length=1)], "AAAA")),
    ],
)
def test_data_by_hand_are_asked_what_a_reader_asks(kind: Any, value: Any) -> None:
    with pytest.raises(MisfitError):
        DataCheck(published(event(kind))).check({"a": value})
