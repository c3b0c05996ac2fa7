"""Dialect: which keywords of JSON Schema 2020-12 contracts are made of, and where the schemas inside of a schema lie.

A walk that takes every mapping for a schema takes data (`default`, `examples`, `enum`) and names of fields for keywords; so
all walks go through `mapped` and `inner`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from eventbus.wire.personal import KEYWORD

Schema = Mapping[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DECIMAL = "x-decimal"
"""Keyword with the bounds of a Decimal, which travels as text: JSON Schema has none for the number in a text."""
MADE = "x-default-made"
"""Keyword of a field that a reader makes when it is missing (`default_factory`): as good as a default."""
TIME = "x-time"
"""Bounds of a date, time, datetime or duration: `minimum` .. `exclusiveMaximum` as text, `relative` "past" or "future"."""
BYTES = "x-bytes"
"""`minLength` and `maxLength` of what a base64 text holds, in bytes."""
URL = "x-url"
"""`schemes` that a URL may have."""
TEXT = "x-text"
"""`strip`: a reader takes blanks away at both ends before it looks at anything else."""
NAMES = "x-names"
"""Names under which a reader finds a field, the first that is there: each a list of keys and indices from the outside in."""
LONGEST = 2**20
"""Largest least length that is taken: no message holds more."""

WORDS = frozenset({"title", "description", "examples", "$comment", KEYWORD})
"""What may be mended in a published contract."""
REMARKS = WORDS | {"default", "deprecated", "$defs", "$schema", "$id", "readOnly", "writeOnly", "contentMediaType"}
OURS = frozenset({DECIMAL, MADE, TIME, BYTES, URL, TEXT, NAMES})

NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
TEXTS = frozenset({"minLength", "maxLength", "pattern", "format", "contentEncoding", DECIMAL, TIME, BYTES, URL, TEXT})
ARRAYS = frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"})
OBJECTS = frozenset(
    {
        *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
        *("minProperties", "maxProperties"),
    }
)
JOINING = frozenset({"$ref", "anyOf", "oneOf", "allOf", "discriminator"})
COMPARED = frozenset({"type", "enum", "const"}) | NUMBERS | TEXTS | ARRAYS | OBJECTS | JOINING
"""Keywords that the comparison knows."""

_ONE = ("items", "additionalProperties", "propertyNames", "not", "contains", "if", "then", "else")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "patternProperties", "dependentSchemas")


def is_remark(keyword: str) -> bool:
    """Whether a keyword says nothing about what is valid: JSON Schema takes unknown `x-` keywords so."""
    return keyword in REMARKS or keyword in (MADE, NAMES) or (keyword.startswith("x-") and keyword not in OURS)


def mapped(schema: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of `schema` in which each schema directly inside is what `change` makes of it."""
    if not isinstance(schema, Mapping):
        return schema
    made = dict(schema)
    for keyword in schema.keys() & {*_ONE, *_MANY, *_NAMED}:
        value = schema[keyword]
        if keyword in _ONE:
            made[keyword] = change(value)
        elif keyword in _MANY and isinstance(value, list):
            made[keyword] = [change(each) for each in value]
        elif keyword in _NAMED and isinstance(value, Mapping):
            made[keyword] = {name: change(each) for name, each in value.items()}
    return made


def inner(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield the schemas directly inside of `schema`, each with its place as `properties/sku`."""
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        if keyword in _ONE:
            yield keyword, value
        elif keyword in _MANY and isinstance(value, list):
            yield from ((f"{keyword}/{number}", each) for number, each in enumerate(value))
        elif keyword in _NAMED and isinstance(value, Mapping):
            yield from ((f"{keyword}/{name}", each) for name, each in value.items())


def target(reference: str, root: Schema) -> Any:
    """Return the schema that a reference of this file means; raises KeyError where it leads nowhere."""
    if reference == "#":
        return root
    if not reference.startswith("#/$defs/"):
        raise KeyError(reference)
    return root["$defs"][reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")]


def needs_too_much(schema: Schema) -> str | None:
    """Return the bound of a schema for which no message has room: a value would be made before anybody could look at it."""
    inner = schema.get(BYTES, {}).get("minLength", 0)
    if inner > LONGEST:
        return f"{BYTES} minLength {inner:,}"
    words = ("minLength", "minItems", "minProperties")
    return next((f"{word} {schema[word]:,}" for word in words if schema.get(word, 0) > LONGEST), None)
