"""Values: examples and edge values of a schema, always the same for the same schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from random import Random
from typing import Any

from eventbus.contracts.schema import DECIMAL
from eventbus.errors import ContractError

Schema = Mapping[str, Any]

_DEEPEST = 6
_FORMATS = {
    "uuid": "018f0000-0000-7000-8000-000000000001",
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.org",
    "uri": "https://example.org/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "binary": "",
}


def example(schema: Schema) -> Any:
    """Return one plain value of `schema`, with all of its fields."""
    return _Maker(schema).plain(schema, 0)


def edges(schema: Schema, *, most: int = 500) -> Iterator[Any]:
    """Yield values of `schema` that each differ from the plain one in one place: each variant, the shortest, the largest."""
    maker = _Maker(schema)
    for count, value in enumerate(maker.variants(schema, 0)):
        if count >= most:
            return
        yield value


class _Maker:
    def __init__(self, root: Schema) -> None:
        self._definitions = root.get("$defs", {})

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rsplit("/", 1)[1]]
        if len(schema.get("allOf", ())) == 1:
            return self._resolve(schema["allOf"][0])
        return schema

    def _alternatives(self, schema: Schema) -> list[Schema]:
        schema = self._resolve(schema)
        if "anyOf" in schema or "oneOf" in schema:
            return [each for part in schema.get("anyOf") or schema["oneOf"] for each in self._alternatives(part)]
        return [schema]

    def plain(self, schema: Schema, depth: int) -> Any:
        """Return the plainest value; of a recursive schema the one that ends soonest."""
        if schema.get("examples"):
            return schema["examples"][0]
        alternatives = self._alternatives(schema)
        if depth > _DEEPEST:  # away from whatever goes deeper
            alternatives.sort(key=lambda each: each.get("type") in ("object", "array"))
        chosen = alternatives[0]
        if "const" in chosen:
            return chosen["const"]
        if "enum" in chosen:
            return chosen["enum"][0]
        return getattr(self, f"_plain_{chosen.get('type', 'anything')}")(chosen, depth)

    def _plain_anything(self, schema: Schema, depth: int) -> Any:
        return "anything"

    def _plain_null(self, schema: Schema, depth: int) -> None:
        return None

    def _plain_boolean(self, schema: Schema, depth: int) -> bool:
        return True

    def _plain_integer(self, schema: Schema, depth: int) -> int:
        return int(_number(schema, 1))

    def _plain_number(self, schema: Schema, depth: int) -> float:
        return float(_number(schema, 1.5))

    def _plain_string(self, schema: Schema, depth: int) -> str:
        if schema.get("format") == "decimal":
            return _decimal(schema.get(DECIMAL, {}))
        if "format" in schema and schema["format"] in _FORMATS:
            return _FORMATS[schema["format"]]
        if "contentEncoding" in schema:
            return "AAEC"
        if "pattern" in schema:
            return _matching(schema)
        least, most = schema.get("minLength", 0), schema.get("maxLength", 20)
        return "text".ljust(least, "x")[: max(most, least)]

    def _plain_array(self, schema: Schema, depth: int) -> list[Any]:
        firsts = [self.plain(each, depth + 1) for each in schema.get("prefixItems", ())]
        least = schema.get("minItems", 0)
        wanted = max(least, 0 if depth > _DEEPEST else min(1, schema.get("maxItems", 1)))
        items = schema.get("items", {})
        while len(firsts) < wanted and items is not False:
            firsts.append(self.plain(items, depth + 1))
        return firsts

    def _plain_object(self, schema: Schema, depth: int) -> dict[str, Any]:
        made = {name: self.plain(each, depth + 1) for name, each in schema.get("properties", {}).items()}
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping) and not made and depth <= _DEEPEST:
            made["key"] = self.plain(more, depth + 1)
        return made

    # -- edges ------------------------------------------------------------------------------------------------------

    def variants(self, schema: Schema, depth: int) -> Iterator[Any]:
        """Yield the plain value of each alternative, and what lies at its edges."""
        if depth > _DEEPEST:
            return
        for each in self._alternatives(schema):
            if "enum" in each:
                yield from each["enum"]
            elif "const" in each:
                yield each["const"]
            else:
                yield self.plain(each, depth)
                yield from getattr(self, f"_edges_{each.get('type', 'anything')}")(each, depth)

    def _edges_anything(self, schema: Schema, depth: int) -> Iterator[Any]:
        yield from (None, 0, "", [], {"key": 1.5})

    def _edges_null(self, schema: Schema, depth: int) -> Iterator[Any]:
        yield from ()

    def _edges_boolean(self, schema: Schema, depth: int) -> Iterator[Any]:
        yield False

    def _edges_integer(self, schema: Schema, depth: int) -> Iterator[Any]:
        step = int(schema.get("multipleOf", 1))
        low = schema.get("minimum", schema.get("exclusiveMinimum", -(2**53) - 1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", 2**53) - 1)
        yield int(-(-low // step) * step)
        yield int(high // step * step)

    def _edges_number(self, schema: Schema, depth: int) -> Iterator[Any]:
        low, high = schema.get("minimum"), schema.get("maximum")
        yield from (float(each) for each in (low, high) if each is not None)
        if low is None and "exclusiveMinimum" not in schema:
            yield -1e300

    def _edges_string(self, schema: Schema, depth: int) -> Iterator[Any]:
        if schema.get("format") == "decimal":
            yield from _decimal_edges(schema.get(DECIMAL, {}))
        elif not schema.keys() & {"format", "contentEncoding", "pattern"}:
            yield "x" * schema.get("minLength", 0)
            yield "ü" * schema.get("maxLength", max(schema.get("minLength", 0), 300))
        elif "contentEncoding" in schema:
            yield ""

    def _edges_array(self, schema: Schema, depth: int) -> Iterator[Any]:
        plain = self._plain_array(schema, depth)
        firsts = schema.get("prefixItems", ())
        for place, each in enumerate(firsts):
            yield from ([*plain[:place], value, *plain[place + 1 :]] for value in self.variants(each, depth + 1))
        items = schema.get("items", {})
        if items is not False and schema.get("maxItems", 1) > len(firsts):
            least, most = schema.get("minItems", 0), schema.get("maxItems")
            filler = self.plain(items, depth + 1)
            for value in self.variants(items, depth + 1):
                yield [*plain[: len(firsts)], value, *[filler] * (max(least, 1) - len(firsts) - 1)]
            if not schema.get("uniqueItems"):
                yield [*plain[: len(firsts)], *[filler] * (least - len(firsts))]
                yield [*plain[: len(firsts)], *[filler] * (min(most or 3, 1000) - len(firsts))]

    def _edges_object(self, schema: Schema, depth: int) -> Iterator[Any]:
        plain = self._plain_object(schema, depth)
        required = schema.get("required", ())
        for name, each in schema.get("properties", {}).items():
            yield from ({**plain, name: value} for value in self.variants(each, depth + 1))
            if name not in required:
                yield {other: value for other, value in plain.items() if other != name}
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            yield {name: plain[name] for name in schema.get("properties", {})}
            yield from ({**plain, "key": value} for value in self.variants(more, depth + 1))


def _number(schema: Schema, preferred: float) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value = preferred
    if low is not None and value <= low:
        value = low + (0 if "minimum" in schema else 1)
    if high is not None and value >= high:
        value = high - (0 if "maximum" in schema else 1)
        if low is not None and value <= low and "minimum" not in schema:
            value = (low + high) / 2
    step = schema.get("multipleOf")
    return value if step is None else -(-value // step) * step


def _decimal(bounds: Schema) -> str:
    places = int(bounds.get("decimalPlaces", 2))
    digits = int(bounds.get("maxDigits", 28))
    smallest = Decimal(1).scaleb(-places)
    value = Decimal("1").quantize(smallest) if digits > places else smallest
    low, high = _decimal_limits(bounds, smallest)
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    return format(value.quantize(smallest) if digits > places else value, "f")


def _decimal_limits(bounds: Schema, smallest: Decimal) -> tuple[Decimal | None, Decimal | None]:
    low = Decimal(bounds["minimum"]) if "minimum" in bounds else None
    high = Decimal(bounds["maximum"]) if "maximum" in bounds else None
    if "exclusiveMinimum" in bounds:
        low = Decimal(bounds["exclusiveMinimum"]) + smallest
    if "exclusiveMaximum" in bounds:
        high = Decimal(bounds["exclusiveMaximum"]) - smallest
    return low, high


def _decimal_edges(bounds: Schema) -> Iterator[str]:
    places, digits = int(bounds.get("decimalPlaces", 2)), int(bounds.get("maxDigits", 15))
    smallest = Decimal(1).scaleb(-places)
    low, high = _decimal_limits(bounds, smallest)
    largest = Decimal(10) ** (digits - places) - smallest
    yield format(max(low, -largest) if low is not None else -largest, "f")
    yield format(min(high, largest) if high is not None else largest, "f")


def _matching(schema: Schema) -> str:
    """Return a text that the pattern matches.

    Raises:
        ContractError: none was found; the field needs an example of its own.
    """
    try:
        import rstr
    except ImportError:
        raise ContractError("examples of patterns need an extra: pip install 'eventbus[contracts]'") from None
    least, most = schema.get("minLength", 0), schema.get("maxLength", 10_000)
    for seed in range(50):
        try:
            text = str(rstr.Rstr(Random(seed)).xeger(schema["pattern"]))
        except (re.error, KeyError, ValueError, TypeError):
            break
        if least <= len(text) <= most and re.search(schema["pattern"], text):
            return text
    raise ContractError(f"no text found for the pattern {schema['pattern']!r}; give the field Field(examples=[...])")
