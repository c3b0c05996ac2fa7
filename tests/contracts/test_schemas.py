"""Schemas as JSON: which readers take all that a writer may send. The answer is sound, and not coarser than it need be."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import ContractError
from eventbus.contracts import differences
from eventbus.contracts.reading import check_schema


def text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def whole(low: int | None = None, high: int | None = None, step: int = 1) -> dict[str, Any]:
    bounds = {"minimum": low, "maximum": high, "multipleOf": step if step > 1 else None}
    return {"type": "integer", **{word: value for word, value in bounds.items() if value is not None}}


def lengths(least: int, most: int = 99) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most}


def either(*schemas: Any) -> dict[str, Any]:
    return {"anyOf": list(schemas)}


def keyed(patterns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "patternProperties": patterns, **more}


CLOSED = {"type": "object", "additionalProperties": False}
NUMBER, TEXT = {"type": "number"}, {"type": "string"}

FITS = {
    "a currency has three letters": (text("^[A-Z]{3}$"), lengths(3, 3)),
    "a pattern anywhere has a least length": (text("[0-9]+-[0-9]{4}"), {"type": "string", "minLength": 6}),
    "two ways to write a pattern": (text("^.{1,}$"), text("^.+$")),
    "a pattern that all texts have": (TEXT, text("[a-z]*")),
    "ranges side by side": (whole(1, 2000), either(whole(5, 5000), whole(0, 4))),
    "a range without an end": (whole(0), either(whole(0, 10), whole(11))),
    "steps, each read by one": (whole(-4, 10, 5), either(whole(0, 20, 10), whole(1, 10, 5))),
    "a number with one value": ({"type": "number", "minimum": 4, "maximum": 4}, whole(4, 4)),
    "an array ends where nothing is allowed": (
        {"type": "array", "items": False, "prefixItems": [NUMBER, False, TEXT]},
        {"type": "array", "items": False, "prefixItems": [NUMBER]},
    ),
    "a name has the pattern": ({**CLOSED, "properties": {"i_1": {"type": "integer"}}}, keyed({"^i_": NUMBER, "^s_": TEXT})),
    "a pattern says what a name is": (
        keyed({"^i_": {"type": "integer"}}),
        {"type": "object", "properties": {"i_1": NUMBER}},
    ),
    "empty arrays are read by one of two": (
        {"type": "array", "maxItems": 0},
        {"oneOf": [{"type": "array"}, {"type": "array", "minItems": 1}]},
    ),
    "without the field that the other needs": (
        {"type": "object", "properties": {"p": False}},
        {"oneOf": [{"type": "object"}, {"type": "object", "required": ["p"]}]},
    ),
}

BREAKS = {
    "a pattern in a longer text": (text("[A-Z]{3}"), lengths(3, 3)),
    "one branch is no anchor": (text("^ab|cd$"), lengths(2, 2)),
    "of four letters or none": (text("^([a-z]{4})?$"), lengths(1)),
    "a line feed is no character of .": (lengths(1), text(".+")),
    "an anchor is not had by all": (TEXT, text("^[a-z]*$")),
    "a gap between ranges": (whole(1, 2000), either(whole(6, 5000), whole(0, 4))),
    "a step beside ranges": (whole(0), either(whole(0, 10, 2), whole(11))),
    "one step that none reads": (whole(-5, 10, 5), either(whole(0, 20, 10), whole(1, 10, 5))),
    "numbers between whole ones": ({"type": "number", "minimum": 4, "maximum": 5}, whole(4, 5)),
    "a name has the pattern of another type": ({**CLOSED, "properties": {"i_1": TEXT}}, keyed({"^i_": NUMBER})),
    "a named field has a pattern too": (
        {**CLOSED, "properties": {"i_1": NUMBER}},
        keyed({"^i_": {"type": "integer"}}, properties={"i_1": NUMBER}),
    ),
    "any name may have the pattern": ({"type": "object"}, keyed({"^i_": NUMBER})),
    "a pattern of the writer says another type": (keyed({"^i_": TEXT}), {"type": "object", "properties": {"i_1": NUMBER}}),
    "two arrays that both read it": (
        {"type": "array", "minItems": 1},
        {"oneOf": [{"type": "array"}, {"type": "array", "minItems": 1}]},
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_what_fits_is_said_to_fit(name: str) -> None:
    assert differences(*FITS[name]) == []


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_is_said_to_break(name: str) -> None:
    assert differences(*BREAKS[name]) != []


@pytest.mark.parametrize(
    "defs",
    [
        {"A": {"$ref": "#/$defs/A"}},
        {"A": {"allOf": [{"$ref": "#/$defs/A"}, TEXT]}},
        {"A": {"$ref": "#/$defs/B"}, "B": {"anyOf": [{"allOf": [{"$ref": "#/$defs/A"}]}, TEXT]}},
    ],
)
def test_a_schema_that_is_but_itself_is_refused(defs: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": defs}
    with pytest.raises(ContractError, match="leads to itself"):
        check_schema(schema, "file")
    with pytest.raises(ContractError, match="leads to itself"):
        differences(schema, {"type": "object", "properties": {"a": {"type": "integer"}}})


def test_a_union_and_a_tree_may_have_themselves_as_parts() -> None:
    defs = {
        "A": {"anyOf": [{"$ref": "#/$defs/A"}, TEXT]},
        "Tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/Tree"}}, "$defs": defs}
    check_schema(schema, "file")
    assert differences(schema, schema) == []
