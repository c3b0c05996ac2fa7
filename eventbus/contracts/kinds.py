"""Kinds: what an alternative is, in words, and whether one can hold what another is."""

from __future__ import annotations

from typing import Any

from eventbus.contracts.dialect import Schema


def may_hold(written: Schema, read: Schema) -> bool:
    """Whether a value of the one may be one of the other, by type."""
    if "enum" in read or "type" not in read:
        return True
    mine, theirs = written.get("type"), read.get("type")
    return mine == theirs or (mine == "integer" and theirs == "number")


def kind_of(schema: Schema) -> str:
    """Return the type of an alternative."""
    return str(schema.get("type"))


def finite(schema: Schema) -> set[str]:
    """Return the types of which a list of constants has all values."""
    values = schema["enum"]
    return ({"null"} if None in values else set()) | (
        {"boolean"} if {True, False} <= {each for each in values if type(each) is bool} else set()
    )


def types(schemas: list[Schema]) -> str:
    """Return, in words, what alternatives are."""
    words = []
    for each in schemas:
        if "enum" in each:
            values = each["enum"]
            is_plain = values in ([None], [False, True])
            words.append({1: "null", 2: "boolean"}[len(values)] if is_plain else f"one of {listed(values)}")
        else:
            words.append(" ".join(filter(None, (each.get("type", "anything"), each.get("format")))))
    return " or ".join(dict.fromkeys(words)) or "nothing"


def listed(values: list[Any]) -> str:
    """Return some constants as text."""
    return ", ".join(map(repr, values[:8])) + (", ..." if len(values) > 8 else "")
