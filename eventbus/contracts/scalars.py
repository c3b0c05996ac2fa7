"""Scalars: what one text or number of a writer may be and a reader refuses: lengths, forms, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from eventbus.contracts.conform import decimals
from eventbus.contracts.dialect import BYTES, DECIMAL, TEXT, TIME, URL, Schema
from eventbus.contracts.difference import Difference, Kind
from eventbus.contracts.formats import FORMATS, instant, is_a
from eventbus.contracts.joining import PATTERNS
from eventbus.contracts.patterns import lengths, meaning


def compare_strings(path: str, written: Schema, read: Schema) -> Iterator[Difference]:
    """Yield why a text may be refused."""
    mine, theirs = written.get("format"), read.get("format")
    encoding = read.get("contentEncoding")
    if (theirs is not None and not is_a(mine, theirs)) or (
        encoding is not None and written.get("contentEncoding") != encoding
    ):
        has = mine if theirs is not None else written.get("contentEncoding")
        wanted = theirs if theirs is not None and not is_a(mine, theirs) else encoding
        yield Difference(
            path,
            Kind.FORM,
            f"is {f'a text of the form {has}' if has else 'any text'}, and only {wanted} is accepted",
        )
        return
    known = {"", *map(meaning, written.get(PATTERNS, ()))}
    for pattern in sorted(each for each in read.get(PATTERNS, ()) if meaning(each) not in known):
        yield Difference(path, Kind.FORM, f"may have another form than the pattern {pattern}")
    strips = read.get(TEXT, {}).get("strip") and not written.get(TEXT, {}).get("strip")
    if strips and mine is None and encoding is None and (read.get("minLength", 0) or PATTERNS in read):
        yield Difference(
            path, Kind.FORM, "may have blanks at its ends, which are taken away before its length and form are asked"
        )
    yield from bounds(path, _lengths(written), read, "minLength", "maxLength", "characters")
    yield from bounds(path, written.get(BYTES, {}), read.get(BYTES, {}), "minLength", "maxLength", "bytes")
    yield from compare_decimals(path, written.get(DECIMAL, {}), read.get(DECIMAL, {}))
    if TIME in read:
        yield from _compare_times(path, written.get(TIME, {}), read[TIME], str(theirs))
    if URL in read:
        more = set(written.get(URL, {}).get("schemes", ())) - set(read[URL]["schemes"])
        if URL not in written or more:
            may = ", ".join(sorted(more)) if more else "any"
            yield Difference(
                path, Kind.FORM, f"may be a URL of {may}, and only {', '.join(read[URL]['schemes'])} are accepted"
            )


def _lengths(written: Schema) -> Schema:
    """Return how many characters a text may have, by its form too."""
    least, most = written.get("minLength", 0), written.get("maxLength")
    known = FORMATS.get(written.get("format", ""))
    if known is not None:
        least = max(least, known.shortest)
        most = known.longest if most is None else min(most, known.longest or most)
    for pattern in written.get(PATTERNS, ()):
        shortest, longest = lengths(pattern)
        least = max(least, shortest)
        most = longest if most is None else min(most, most if longest is None else longest)
    if written.get("contentEncoding") == "base64":
        size = written.get(BYTES, {})
        least = max(least, -(-size.get("minLength", 0) // 3) * 4)
        if "maxLength" in size and most is None:
            most = -(-size["maxLength"] // 3) * 4
    return {"minLength": least} if most is None else {"minLength": least, "maxLength": most}


def _compare_times(path: str, written: Schema, read: Schema, form: str) -> Iterator[Difference]:
    def moments(bounds: Schema) -> dict[str, Any]:
        words = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        return {word: instant(bounds[word], form) for word in words if word in bounds}

    try:
        yield from compare_numbers(path, moments(written), moments(read))
    except TypeError:
        yield Difference(path, Kind.BOUND, "has bounds of which only one has a time zone")
    if read.get("relative") not in (None, written.get("relative")):
        yield Difference(path, Kind.BOUND, f"may be any time, and only the {read['relative']} is accepted")
    if read.get("zone") not in (None, written.get("zone")):
        yield Difference(path, Kind.FORM, f"may have a time zone or none, and only {read['zone']} ones are accepted")


def compare_decimals(path: str, written: Schema, read: Schema) -> Iterator[Difference]:
    """Yield why a decimal may be refused; both are the values of the keyword `x-decimal`."""
    mine, theirs = decimals(written), decimals(read)
    yield from compare_numbers(path, mine, theirs)
    for word, what in (("maxDigits", "digits"), ("decimalPlaces", "decimal places")):
        if word in theirs and (word not in mine or mine[word] > theirs[word]):
            most = f"up to {mine[word]}" if word in mine else "any number of"
            yield Difference(path, Kind.BOUND, f"may have {most} {what}, and only {theirs[word]} are accepted")
    if "maxDigits" in theirs and mine.get("maxDigits", 0) - mine.get("decimalPlaces", 0) > theirs["maxDigits"] - theirs.get(
        "decimalPlaces", Decimal(0)
    ):
        yield Difference(path, Kind.BOUND, "may have more digits before the point than are accepted")


def compare_numbers(path: str, written: Schema, read: Schema) -> Iterator[Difference]:
    """Yield why a number may be refused, or anything that has an order."""
    low, is_open = _lowest(written)
    wanted_low, wanted_open = _lowest(read)
    if wanted_low is not None and (low is None or low < wanted_low or (low == wanted_low and wanted_open and not is_open)):
        may = "any low" if low is None else f"as low as {low}"
        yield Difference(
            path, Kind.BOUND, f"may be {may}, and only {'above' if wanted_open else 'from'} {wanted_low} is accepted"
        )
    high, is_open = _highest(written)
    wanted_high, wanted_open = _highest(read)
    if wanted_high is not None and (
        high is None or high > wanted_high or (high == wanted_high and wanted_open and not is_open)
    ):
        may = "any high" if high is None else f"as high as {high}"
        yield Difference(
            path, Kind.BOUND, f"may be {may}, and only {'below' if wanted_open else 'up to'} {wanted_high} is accepted"
        )
    step, wanted_step = written.get("multipleOf"), read.get("multipleOf")
    if step is None and written.get("type") == "integer":
        step = 1
    if wanted_step is not None and (step is None or Decimal(str(step)) % Decimal(str(wanted_step)) != 0):
        yield Difference(path, Kind.BOUND, f"may be no multiple of {wanted_step}")


def _lowest(schema: Schema) -> tuple[Any, bool]:
    closed, opened = schema.get("minimum"), schema.get("exclusiveMinimum")
    if opened is not None and (closed is None or opened >= closed):
        return opened, True
    return closed, False


def _highest(schema: Schema) -> tuple[Any, bool]:
    closed, opened = schema.get("maximum"), schema.get("exclusiveMaximum")
    if opened is not None and (closed is None or opened <= closed):
        return opened, True
    return closed, False


def bounds(path: str, written: Schema, read: Schema, least: str, most: str, what: str) -> Iterator[Difference]:
    """Yield why there may be too few or too many of `what`; `least` and `most` are the keywords that bound it."""
    if written.get(least, 0) < read.get(least, 0):
        yield Difference(
            path, Kind.BOUND, f"may have as few as {written.get(least, 0)} {what}, and {read[least]} are needed"
        )
    if most in read and written.get(most, float("inf")) > read[most]:
        may = f"up to {written[most]}" if most in written else "any number of"
        yield Difference(path, Kind.BOUND, f"may have {may} {what}, and only {read[most]} are accepted")
