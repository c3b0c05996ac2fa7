"""Texts and numbers: the plain value and the edges of a schema without parts."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import Any

from eventbus.contracts.conform import text_faults
from eventbus.contracts.dialect import BYTES, DECIMAL, TIME, URL, Schema
from eventbus.contracts.formats import FORMATS, instant
from eventbus.contracts.matching import matches
from eventbus.errors import ContractError

_RELATIVE = {
    "date-time": {"past": "2001-01-31T12:00:00Z", "future": "8999-01-31T12:00:00Z"},
    "date": {"past": "2001-01-31", "future": "8999-01-31"},
}
# what is often asked of texts and seldom tried: blanks, capitals, digits, accents in two characters, the second plane
_SAMPLES = (" ", "Ab9 ", "E\u0301", "\U0001f600", "\x00", "1")


def plain_text(schema: Schema) -> str:
    """Return the plainest text of a schema.

    Raises:
        ContractError: none was found.
    """
    for each in _plain_texts(schema):
        if next(text_faults(schema, each), None) is None:
            return each
    raise ContractError(
        f"no text found for {', '.join(f'{word} {value!r}' for word, value in schema.items() if word != 'title')}; "
        "give the field Field(examples=[...])"
    )


def _plain_texts(schema: Schema) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 20)
    form = schema.get("format")
    if DECIMAL in schema or form == "decimal":
        yield _decimal(schema.get(DECIMAL, {}))
        yield from _decimal_edges(schema.get(DECIMAL, {}))
    if form in ("integer", "number"):
        yield from ("1", "0", *_decimal_edges({"decimalPlaces": "0", **schema.get(DECIMAL, {})}))
    if TIME in schema:
        relative = schema[TIME].get("relative")
        if relative is not None:
            yield _RELATIVE[str(form)][relative]
        yield from _moments(schema[TIME], str(form))
        yield from ("12:00:00", "12:00:00Z")
    if URL in schema:
        yield from (f"{scheme}://example.org/" for scheme in schema[URL]["schemes"])
        yield from (f"{scheme}://user:secret@localhost/name" for scheme in schema[URL]["schemes"])
    if form in FORMATS:
        yield FORMATS[form].example
        yield from FORMATS[form].edges
    if "contentEncoding" in schema:
        size = max(schema.get(BYTES, {}).get("minLength", 0), min(3, schema.get(BYTES, {}).get("maxLength", 3)))
        yield base64.b64encode(bytes(each % 256 for each in range(size))).decode()
    if "pattern" in schema:
        yield from _matching(schema["pattern"], least, schema.get("maxLength", max(20, least)))
    yield "text".ljust(least, "x")[: max(most, least)]


def text_edges(schema: Schema) -> Iterator[str]:
    """Yield texts at the edges of a schema."""
    for each in dict.fromkeys(_edges(schema)):
        if next(text_faults(schema, each), None) is None:
            yield each


def _edges(schema: Schema) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    form = schema.get("format")
    if form == "decimal" or DECIMAL in schema:
        yield from _decimal_edges(schema.get(DECIMAL, {}))
    if TIME in schema:
        yield from _moments(schema[TIME], str(form))
    if URL in schema:
        yield from (f"{scheme}://example.org/" for scheme in schema[URL]["schemes"])
    if form in FORMATS:
        yield from FORMATS[form].edges
        if form == "uri":
            yield "https://example.org/" + "x" * (min(schema.get("maxLength", 2000), 2000) - 20)
        return
    if "contentEncoding" in schema:
        size = schema.get(BYTES, {})
        yield base64.b64encode(b"\xff" * size.get("minLength", 0)).decode()
        yield base64.b64encode(b"\xff" * min(size.get("maxLength", size.get("minLength", 0) + 300), 3000)).decode()
        return
    if "pattern" in schema:
        yield from _matching(schema["pattern"], least, least if most is None else most)
    longest = most if most is not None and most <= 3000 else max(least, 600)
    yield "x" * least
    yield "x" * (least + 1)
    yield "ü" * longest
    for sample in _SAMPLES:
        yield sample if least <= len(sample) else (sample * (least // len(sample) + 1))[: max(least, 1)]
    yield " " * max(1, least)


def _moments(bounds: Schema, form: str) -> Iterator[str]:
    """Yield the moments at and just inside the bounds."""
    step = timedelta(days=1) if form == "date" else timedelta(microseconds=1)
    for word, bound in bounds.items():
        if not word.lower().endswith(("minimum", "maximum")):
            continue
        value: Any = instant(bound, form)
        yield _written(value, form)
        try:
            if form == "time":
                moved: Any = (
                    datetime.combine(datetime(2000, 1, 2), value) + (step if "in" in word[-7:] else -step)
                ).timetz()
                yield _written(moved, form)
            else:
                yield _written(value + (step if word.lower().endswith("minimum") else -step), form)
        except OverflowError:
            continue


def _written(value: Any, form: str) -> str:
    if isinstance(value, timedelta):
        from pydantic import TypeAdapter

        return str(TypeAdapter(timedelta).dump_python(value, mode="json"))
    if form == "date-time":
        value = value.astimezone(UTC)
    return str(value.isoformat()).replace("+00:00", "Z")


@lru_cache(maxsize=512)
def _matching(pattern: str, least: int, most: int) -> tuple[str, ...]:
    """Return texts that a pattern matches, short ones and long ones.

    Raises:
        ContractError: the extra is not installed.
    """
    try:
        import rstr
    except ImportError:
        raise ContractError("examples of patterns need an extra: pip install 'eventbus[contracts]'") from None
    found: dict[str, None] = {}
    for limit in dict.fromkeys((min(10, max(most, 1)), max(least, 1), max(1, min(most, 100)), 1, 3)):
        bounded = _bounded(pattern, limit)
        for seed in range(20):
            try:
                text = str(rstr.Rstr(Random(seed)).xeger(bounded))
            except (re.error, KeyError, ValueError, TypeError, RecursionError, OverflowError, AttributeError, IndexError):
                break
            if least <= len(text) <= most and matches(pattern, text):
                found[text] = None
            if len(found) >= 4:
                return tuple(found)
    return tuple(found)


def _bounded(pattern: str, limit: int) -> str:
    """Return a pattern whose endless repetitions end: the generator takes up to 100 of each else."""
    outside = re.compile(r"(\\.|\[(?:\\.|[^\]\\])*\])|([*+])|\{(\d+),\}")

    def bound(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        least = {"*": 0, "+": 1}.get(found[2] or "", int(found[3] or 0))
        return f"{{{least},{max(limit, least)}}}"

    return outside.sub(bound, pattern)


def number(schema: Schema, preferred: float) -> float:
    """Return the number nearest to `preferred`."""
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


def integer_edges(schema: Schema) -> Iterator[int]:
    """Yield the least and the greatest whole number."""
    step = int(schema.get("multipleOf", 1)) or 1
    low = schema.get("minimum", schema.get("exclusiveMinimum", -(2**53) - 1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", 2**53) - 1)
    yield int(-(-low // step) * step)
    yield int(high // step * step)
    if low <= 0 <= high:
        yield 0


def number_edges(schema: Schema) -> Iterator[float]:
    """Yield the least and the greatest number, and one far away where there is no bound."""
    low, high = schema.get("minimum"), schema.get("maximum")
    yield from (float(each) for each in (low, high) if each is not None)
    if low is None and "exclusiveMinimum" not in schema and "multipleOf" not in schema:
        yield -1e300
    if high is None and "exclusiveMaximum" not in schema and "multipleOf" not in schema:
        yield 1e300


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
    step = Decimal(bounds.get("multipleOf", "0"))
    if step:
        value = -(-value // step) * step
        return format(value, "f")
    return format(value.quantize(smallest) if digits > places and value < Decimal(10) ** 20 else value, "f")


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
    step = Decimal(bounds.get("multipleOf", "0"))
    for value in (
        max(low, -largest) if low is not None else -largest,
        min(high, largest) if high is not None else largest,
    ):
        yield format(value // step * step if step else value, "f")
