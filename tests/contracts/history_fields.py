"""The types that fields of a history's events have, with values that cover what each allows."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from eventbus import Value


def _even(text: str) -> str:
    if len(text) % 2:
        raise ValueError("an odd length")
    return text


class Line(Value):
    sku: str
    quantity: int


class Renamed(Value):
    sku: str
    amount: int


class Both(Value):
    sku: str
    quantity: int = 1
    amount: int = 1


_LINES = [[], [{"sku": "a", "quantity": 2}]]
KINDS: dict[str, tuple[Any, list[Any]]] = {
    "int": (int, [0, -5, 10**6]),
    "small": (Annotated[int, Field(ge=0, le=10)], [0, 10]),
    "text": (str, ["", "abc", "x" * 50]),
    "short": (Annotated[str, Field(max_length=3)], ["", "abc"]),
    "even": (Annotated[str, AfterValidator(_even)], ["", "ab", "x" * 50]),
    "flag": (bool, [True, False]),
    "maybe": (int | None, [1, None]),
    "two": (Literal["a", "b"], ["a", "b"]),
    "three": (Literal["a", "b", "c"], ["a", "b", "c"]),
    "id": (UUID, [UUID(int=7, version=4)]),
    "lines": (list[Line], _LINES),
    "renamed": (list[Renamed], [[], [{"sku": "a", "amount": 2}]]),
    "both": (list[Both], [[], [{"sku": "a", "quantity": 2, "amount": 3}]]),
    "map": (dict[str, int], [{}, {"a": 1}]),
}
LENIENT = {("flag", "int"), ("flag", "small"), ("flag", "maybe")}
"""What pydantic reads although the rules refuse it."""
