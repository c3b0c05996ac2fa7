"""Joining: the alternative of what two alternatives both allow (see `normal`)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any

from eventbus.contracts.conform import equal
from eventbus.contracts.dialect import OBJECTS, Schema
from eventbus.contracts.formats import is_a

UNKNOWN = "!unknown"
"""Key of an alternative with the rules that cannot be compared."""
OTHERS = "!others"
"""Key of an alternative with those beside it of which none may be valid too (`oneOf`)."""
PATTERNS = "!patterns"
LARGER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def join(one: Schema, other: Schema) -> Schema | None:
    """Return the alternative of what both allow; None where they allow nothing together."""
    if not one or not other:
        return one or other
    made: dict[str, Any] = {**one}
    unknown = set(one.get(UNKNOWN, ())) | set(other.get(UNKNOWN, ()))
    for word, theirs in other.items():
        mine = one.get(word)
        if word in (UNKNOWN, *OBJECTS - {"minProperties", "maxProperties"}):
            continue
        if word not in one or mine == theirs:
            made[word] = theirs
        elif word == "type":
            if {mine, theirs} != {"integer", "number"}:
                return None
            made["type"] = "integer"
        elif word in LARGER:
            made[word] = max(mine, theirs)
        elif word in SMALLER:
            made[word] = min(mine, theirs)
        elif word == "enum":
            made["enum"] = [each for each in mine or () if any(equal(each, value) for value in theirs)]
        elif word == PATTERNS:
            made[word] = (mine or frozenset()) | theirs
        elif word == "multipleOf":
            made[word] = _common(mine, theirs)
        elif word == "uniqueItems":
            made[word] = bool(mine or theirs)
        elif word == OTHERS:
            made[word] = [*(mine or ()), *theirs]
        elif word == "format" and (is_a(str(mine), theirs) or is_a(theirs, str(mine))):
            made[word] = mine if is_a(str(mine), theirs) else theirs
        elif word == "items" and "prefixItems" not in one and "prefixItems" not in other:
            made[word] = both(mine, theirs)
        else:
            unknown.add(word)
    if (
        {"prefixItems", "items"} & one.keys()
        and "prefixItems" in {**one, **other}
        and {"prefixItems", "items"} & other.keys()
    ):
        _join_arrays(made, one, other)
        unknown -= {"items", "prefixItems"}
    if OBJECTS & one.keys() or OBJECTS & other.keys():
        _join_objects(made, one, other, unknown)
    made.pop(UNKNOWN, None)
    if unknown:
        made[UNKNOWN] = frozenset(unknown)
    return made


def both(one: Any, other: Any) -> Any:
    """Return the schema of what two schemas allow."""
    if one is True or one == other or one == {}:
        return other
    if other is True or other == {}:
        return one
    return False if one is False or other is False else {"allOf": [one, other]}


def _join_arrays(made: dict[str, Any], one: Schema, other: Schema) -> None:
    mine, theirs = one.get("prefixItems", []), other.get("prefixItems", [])
    rest, other_rest = one.get("items", True), other.get("items", True)
    made["prefixItems"] = [
        both(mine[place] if place < len(mine) else rest, theirs[place] if place < len(theirs) else other_rest)
        for place in range(max(len(mine), len(theirs)))
    ]
    made["items"] = both(rest, other_rest)


def _join_objects(made: dict[str, Any], one: Schema, other: Schema, unknown: set[str]) -> None:
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    more, other_more = one.get("additionalProperties", True), other.get("additionalProperties", True)
    patterns = {**one.get("patternProperties", {})}
    for pattern, each in other.get("patternProperties", {}).items():
        patterns[pattern] = both(patterns.get(pattern, True), each)
    if patterns:
        made["patternProperties"] = patterns
        if more is not True or other_more is not True or mine or theirs:
            unknown.add("patternProperties")
    if mine or theirs:
        made["properties"] = {
            name: both(mine.get(name, more), theirs.get(name, other_more)) for name in dict.fromkeys([*mine, *theirs])
        }
    if "additionalProperties" in one or "additionalProperties" in other:
        made["additionalProperties"] = both(more, other_more)
    if "required" in one or "required" in other:
        made["required"] = sorted({*one.get("required", ()), *other.get("required", ())})
    if "propertyNames" in one or "propertyNames" in other:
        made["propertyNames"] = both(one.get("propertyNames", True), other.get("propertyNames", True))


def _common(one: Any, other: Any) -> Any:
    a, b = Fraction(Decimal(str(one))), Fraction(Decimal(str(other)))
    common = Fraction(lcm(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)
    return int(common) if common.denominator == 1 else float(common)
