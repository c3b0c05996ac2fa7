"""The vocabulary: for each kind of field which views of it fit, and that a class fits itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

import pytest
from pydantic import (
    UUID4,
    AfterValidator,
    AnyUrl,
    Field,
    FutureDate,
    HttpUrl,
    IPvAnyAddress,
    PastDate,
    PositiveInt,
    SecretStr,
    StringConstraints,
)
from typing_extensions import TypedDict

from eventbus import Value
from tests.contracts.test_edges import event, misfits


class Priority(Value):
    priority: int = 0


class Note(Value):
    note: str


class Keyed(TypedDict):
    x: NotRequired[int]
    y: int


class NeedsX(Value):
    x: int


class Colour(Enum):
    red = "red"
    blue = "blue"


def small(text: str) -> str:
    if text != text.lower():
        raise ValueError("small letters only")
    return text


YEAR = datetime(2026, 1, 1, tzinfo=UTC)
BREAKS: list[tuple[Any, Any]] = [
    (dict[str, Any], Priority),
    (datetime, Annotated[datetime, Field(ge=YEAR)]),
    (date, Annotated[date, Field(lt=date(2030, 1, 1))]),
    (timedelta, Annotated[timedelta, Field(ge=timedelta(0))]),
    (date, PastDate),
    (PastDate, FutureDate),
    (bytes, Annotated[bytes, Field(max_length=4)]),
    (Annotated[bytes, Field(max_length=9)], Annotated[bytes, Field(min_length=1)]),
    (Annotated[str, Field(min_length=1)], Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]),
    (Keyed, NeedsX),
    (AnyUrl, HttpUrl),
    (str, Annotated[str, AfterValidator(small)]),
    (str | list[str], Annotated[str | list[str], Field(max_length=500)]),
    (str | bool, Annotated[str | bool, Field(max_length=3)]),
    (UUID, UUID4),
    (IPvAnyAddress, IPv4Address),
    (dict[str, int], dict[UUID, int]),
    (dict[str, int], Annotated[dict[str, int], Field(min_length=1)]),
    (Literal["a", "b"], Annotated[str, Field(pattern="^a$")]),
    (Literal["a", None], str),
    (Annotated[Decimal, Field(max_digits=9, decimal_places=1)], Annotated[Decimal, Field(max_digits=9, decimal_places=3)]),
]
FITS: list[tuple[Any, Any]] = [
    (PositiveInt, Annotated[int, Field(ge=1)]),
    (UUID4, UUID),
    (UUID, Annotated[str, Field(min_length=1, max_length=64)]),
    (date, Annotated[str, Field(min_length=10, max_length=10)]),
    (timedelta, Annotated[str, Field(min_length=1)]),
    (IPv4Address, IPvAnyAddress),
    (HttpUrl, AnyUrl),
    (Literal["A"] | None, Literal["A", None]),
    (bool, Literal[True, False]),
    (Literal["AB", "CD"], Annotated[str, Field(pattern="^[A-Z]+$")]),
    (Literal[2, 4], Annotated[int, Field(multiple_of=2)]),
    (Annotated[int, Field(ge=1, le=3)], Literal[1, 2, 3]),
    (Colour, Literal["red", "blue", "green"]),
    (Annotated[datetime, Field(ge=YEAR)], Annotated[datetime, Field(ge=YEAR - timedelta(days=1))]),
    (Annotated[bytes, Field(max_length=3)], Annotated[bytes, Field(max_length=4)]),
    (SecretStr, str),
    (Note, dict[str, str]),
    (tuple[int, str], list[int | str]),
]
SELVES: list[Any] = [
    *(dict[int, str], dict[UUID, str], dict[date, str], dict[Colour, int], dict[Literal["a", "b"], int], dict[bool, int]),
    *(dict[Annotated[str, Field(pattern="^[a-z]+$")], int], Annotated[dict[str, int], Field(min_length=2)]),
    *(Annotated[set[int], Field(min_length=3)], frozenset[str], IPv4Network, FutureDate, PastDate, Keyed, SecretStr),
    *(
        Annotated[str, Field(pattern="^[a-z]*$", min_length=3, max_length=3)],
        Annotated[str, Field(json_schema_extra={"x-pii": True})],
    ),
    *(Annotated[Decimal, Field(multiple_of=Decimal("0.05"))], list[dict[str, Note]], tuple[int, ...], Any),
]


@pytest.mark.parametrize(("owner", "view"), BREAKS)
def test_a_view_that_the_owner_can_break_does_not_fit(owner: Any, view: Any) -> None:
    assert misfits(owner, view)


@pytest.mark.parametrize(("owner", "view"), FITS)
def test_a_view_that_reads_all_fits(owner: Any, view: Any) -> None:
    assert misfits(owner, view) == []


@pytest.mark.parametrize("kind", SELVES)
def test_a_class_fits_itself(kind: Any) -> None:
    owner = event(kind)
    assert misfits(owner, owner) == []
