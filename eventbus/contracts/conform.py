"""Conform: whether a value is what a schema says, our own keywords and all forms included."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from eventbus.contracts.dialect import BYTES, DECIMAL, NAMES, TEXT, TIME, URL, Schema, target
from eventbus.contracts.formats import has_form, instant
from eventbus.contracts.matching import matches

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", list: "array", dict: "object"}


def type_of(value: Any) -> str:
    """Return the type of a JSON value; a float without a fraction is an integer, as JSON Schema has it."""
    kind = _TYPES[type(value)]
    return "integer" if kind == "number" and float(value).is_integer() else kind


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(each, other[key]) for key, each in one.items())
    return bool(one == other)


class Conformance:
    """Checks values against the schemas of one file.

    Args:
        root: the whole schema, which has the definitions.
        is_reader: fields that a schema does not name are passed over, as readers do, though it says that there are none.
        remembers: objects that were right are not looked through again where they come again, inside of others too; for
            hundreds of values that differ in a place or two each.
    """

    def __init__(self, root: Schema, *, is_reader: bool = False, remembers: bool = False) -> None:
        self._root = root
        self._is_reader = is_reader
        self._right: set[tuple[int, bytes]] | None = set() if remembers else None
        """Schemas by identity, which `root` keeps alive, and digests of the objects that are right by them."""

    def holds(self, schema: Any, value: Any) -> bool:
        """Whether `value` is valid."""
        return next(self.faults(schema, value), None) is None

    def faults(self, schema: Any, value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with `value`: the field and the reason."""
        if schema is True:
            return
        if schema is False:
            yield path, "nothing is allowed here"
            return
        if depth > 200:
            yield path, "deeper than can be checked"
            return
        if "$ref" in schema:
            yield from self.faults(target(schema["$ref"], self._root), value, path, depth + 1)
        wanted = schema.get("type")
        if wanted is not None:
            kind = type_of(value)
            names = wanted if isinstance(wanted, list) else [wanted]
            if kind not in names and not (kind == "integer" and "number" in names):
                yield path, f"is {_shown(value)}, and {' or '.join(names)} is expected"
                return
        if "const" in schema and not equal(value, schema["const"]):
            yield path, f"is {_shown(value)}, and only {_shown(schema['const'])} is allowed"
        if "enum" in schema and not any(equal(value, each) for each in schema["enum"]):
            yield path, f"is {_shown(value)}, and only {', '.join(map(_shown, schema['enum'][:8]))} are allowed"
        yield from self._joined(schema, value, path, depth)
        if isinstance(value, str):
            yield from ((path, reason) for reason in text_faults(schema, value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from ((path, reason) for reason in number_faults(schema, Decimal(str(value))))
            if DECIMAL in schema:
                yield from ((path, reason) for reason in number_faults(decimals(schema[DECIMAL]), Decimal(str(value))))
        elif isinstance(value, list):
            yield from self._array(schema, value, path, depth)
        elif isinstance(value, dict) and self._right is None:
            yield from self._object(schema, value, path, depth)
        elif isinstance(value, dict):
            yield from self._new_object(schema, value, path, depth)

    def _joined(self, schema: Schema, value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
        for each in schema.get("allOf", ()):
            yield from self.faults(each, value, path, depth + 1)
        for word in ("anyOf", "oneOf"):
            if word not in schema:
                continue
            tag = (schema.get("discriminator") or {}).get("propertyName")
            if tag is not None and not (isinstance(value, dict) and tag in value):
                yield path, f"has no {tag!r}, which tells its variants apart"
                continue
            firsts, fitting = [], 0
            for each in schema[word]:
                first = next(self.faults(each, value, path, depth + 1), None)
                if first is not None:
                    firsts.append(first)
                    continue
                fitting += 1
                if fitting > 1 or word == "anyOf":
                    break
            if not fitting:
                yield max(firsts, key=lambda each: len(each[0]), default=(path, "nothing is allowed here"))
            elif fitting > 1:
                yield path, "is valid by more than one of oneOf"

    def _array(self, schema: Schema, value: list[Any], path: str, depth: int) -> Iterator[tuple[str, str]]:
        yield from ((path, each) for each in _counted(schema, len(value), "minItems", "maxItems", "items"))
        firsts = schema.get("prefixItems", [])
        for number, each in enumerate(value):
            part = firsts[number] if number < len(firsts) else schema.get("items", True)
            yield from self.faults(part, each, f"{path}.{number}" if path else str(number), depth + 1)
        if schema.get("uniqueItems") and len({json.dumps(each, sort_keys=True) for each in value}) < len(value):
            yield path, "has an item twice"

    def _object(self, schema: Schema, value: dict[str, Any], path: str, depth: int) -> Iterator[tuple[str, str]]:
        yield from ((path, each) for each in _counted(schema, len(value), "minProperties", "maxProperties", "entries"))
        fields = schema.get("properties", {})
        known: set[str] = set()
        needed = schema.get("required", ())
        for name, part in fields.items():
            names = part[NAMES] if isinstance(part, Mapping) and NAMES in part else [[name]]
            inner = f"{path}.{name}" if path else name
            there, found = _found(value, names)
            known.update(str(each[0]) for each in names)
            if there:
                yield from self.faults(part, found, inner, depth + 1)
            elif name in needed:
                yield inner, "is missing"
        for name in needed:
            if name not in fields and name not in value:
                yield f"{path}.{name}" if path else name, "is missing"
        patterns = schema.get("patternProperties", {})
        more = schema.get("additionalProperties", True)
        if more is False and self._is_reader and "properties" in schema:
            more = True
        for name, each in value.items():
            inner = f"{path}.{name}" if path else name
            matching = [part for pattern, part in patterns.items() if matches(pattern, name)]
            for part in matching:
                yield from self.faults(part, each, inner, depth + 1)
            if name not in known and not matching and more is not True:
                yield from self.faults(more, each, inner, depth + 1)
            if "propertyNames" in schema:
                yield from self.faults(schema["propertyNames"], name, inner, depth + 1)

    def _new_object(self, schema: Schema, value: dict[str, Any], path: str, depth: int) -> Iterator[tuple[str, str]]:
        assert self._right is not None
        key = id(schema), blake2b(json.dumps(value).encode(), digest_size=16).digest()
        if key in self._right:
            return
        is_right = True
        for fault in self._object(schema, value, path, depth):
            is_right = False
            yield fault
        if is_right:
            self._right.add(key)


def _found(value: Any, names: list[list[Any]]) -> tuple[bool, Any]:
    for path in names:
        found = value
        for key in path:
            is_there = (isinstance(found, dict) and key in found) or (
                isinstance(found, list) and type(key) is int and -len(found) <= key < len(found)
            )
            if not is_there:
                break
            found = found[key]
        else:
            return True, found
    return False, None


def _counted(schema: Schema, count: int, least: str, most: str, what: str) -> Iterator[str]:
    if count < schema.get(least, 0):
        yield f"has {count} {what}, and {schema[least]} are needed"
    if count > schema.get(most, count):
        yield f"has {count} {what}, and only {schema[most]} are allowed"


def text_faults(schema: Schema, value: str) -> Iterator[str]:
    """Yield what is wrong with a text."""
    if schema.get(TEXT, {}).get("strip"):
        value = value.strip()
    yield from _counted(schema, len(value), "minLength", "maxLength", "characters")
    if "pattern" in schema and not matches(schema["pattern"], value):
        yield f"has not the form {schema['pattern']}"
    form = schema.get("format")
    if form is not None and not has_form(value, form):
        yield f"is no {form}"
        return
    if DECIMAL in schema:
        yield from _decimal_faults(schema[DECIMAL], value)
    if TIME in schema and form is not None:
        yield from _time_faults(schema[TIME], value, form)
    if URL in schema and value.partition(":")[0].lower() not in schema[URL].get("schemes", ()):
        yield f"is no URL of {', '.join(schema[URL]['schemes'])}"
    if schema.get("contentEncoding") == "base64":
        try:
            size = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            yield "is no base64"
        else:
            yield from _counted(schema.get(BYTES, {}), size, "minLength", "maxLength", "bytes")


def _time_faults(bounds: Schema, text: str, form: str) -> Iterator[str]:
    value: Any = instant(text, form)
    numbers = {word: instant(bound, form) for word, bound in bounds.items() if word.lower().endswith(("minimum", "maximum"))}
    try:
        yield from number_faults(numbers, value)
    except TypeError:  # a time with a zone has no order with one without
        yield "cannot be compared with its bounds: one has a time zone"
    if "relative" in bounds and not isinstance(value, timedelta):
        now: Any = datetime.now(UTC) if isinstance(value, datetime) else date.today()
        if (value < now) != (bounds["relative"] == "past") or value == now:
            yield f"is not in the {bounds['relative']}"
    if "zone" in bounds and (value.tzinfo is None) == (bounds["zone"] == "aware"):
        yield "has a time zone, or lacks one"


def _decimal_faults(bounds: Schema, text: str) -> Iterator[str]:
    if not has_form(text, "decimal"):
        yield "is no decimal"
    else:
        yield from number_faults(decimals(bounds), Decimal(text))


def decimals(bounds: Schema) -> dict[str, Any]:
    """Return the bounds in `x-decimal` as numbers."""
    return {word: Decimal(bound) for word, bound in bounds.items()}


def number_faults(schema: Schema, value: Any) -> Iterator[str]:
    """Yield what is wrong with a number, or with anything that has an order."""
    number = (lambda bound: Decimal(str(bound))) if isinstance(value, Decimal) else (lambda bound: bound)
    if "minimum" in schema and value < number(schema["minimum"]):
        yield f"is {value}, and from {schema['minimum']} is allowed"
    if "exclusiveMinimum" in schema and value <= number(schema["exclusiveMinimum"]):
        yield f"is {value}, and above {schema['exclusiveMinimum']} is allowed"
    if "maximum" in schema and value > number(schema["maximum"]):
        yield f"is {value}, and up to {schema['maximum']} is allowed"
    if "exclusiveMaximum" in schema and value >= number(schema["exclusiveMaximum"]):
        yield f"is {value}, and below {schema['exclusiveMaximum']} is allowed"
    if isinstance(value, Decimal):
        step = Decimal(str(schema.get("multipleOf", 0)))
        if step and abs(value) < 10**25 and value % step:
            yield f"is {value}, no multiple of {schema['multipleOf']}"
        _, digits, exponent = value.as_tuple()
        places = max(0, -int(exponent))
        if places > schema.get("decimalPlaces", places):
            yield f"has {places} decimal places, and {schema['decimalPlaces']} are allowed"
        count = max(len(digits) + max(0, int(exponent)), places)
        if count > schema.get("maxDigits", count):
            yield f"has {count} digits, and {schema['maxDigits']} are allowed"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "..."
