"""Scalars: what one text or number of a writer may be and a reader refuses: lengths, forms, bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from eventbus.contracts.difference import Difference, Kind
from eventbus.contracts.schema import DECIMAL

Schema = Mapping[str, Any]

NUMBER_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})


def compare_strings(path: str, written: Schema, read: Schema) -> Iterator[Difference]:
    """Yield why a text may be refused."""
    for word in ("format", "contentEncoding"):
        if word in read and written.get(word) != read[word]:
            mine = written.get(word)
            yield Difference(
                path,
                Kind.FORM,
                f"is {f'a text of the form {mine}' if mine else 'any text'}, and only {read[word]} is accepted",
            )
            return
    if "pattern" in read and written.get("pattern") != read["pattern"]:
        yield Difference(path, Kind.FORM, f"may have another form than the pattern {read['pattern']}")
    yield from bounds(path, written, read, "minLength", "maxLength", "characters")
    yield from compare_decimals(path, written.get(DECIMAL, {}), read.get(DECIMAL, {}))


def compare_decimals(path: str, written: Schema, read: Schema) -> Iterator[Difference]:
    """Yield why a decimal may be refused; both are the values of the keyword `x-decimal`."""

    def numbers(bounds: Schema) -> Schema:
        return {word: Decimal(bound) for word, bound in bounds.items()}

    mine, theirs = numbers(written), numbers(read)
    yield from compare_numbers(path, mine, theirs)
    for word, what in (("maxDigits", "digits"), ("decimalPlaces", "decimal places")):
        if word in theirs and (word not in mine or mine[word] > theirs[word]):
            most = f"up to {mine[word]}" if word in mine else "any number of"
            yield Difference(path, Kind.BOUND, f"may have {most} {what}, and only {theirs[word]} are accepted")


def compare_numbers(path: str, written: Schema, read: Schema) -> Iterator[Difference]:
    """Yield why a number may be refused."""
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
