"""Subset: whether everything that one schema allows is accepted by another, and if not, where and why.

The question is asked of a writer and a reader. The answer is sound: no difference found means that no value exists which the
writer may send and the reader refuses, as far as schemas can tell. It is decided part by part, so that in rare cases a
difference is found where the parts together would fit; each finding says what it compared.

Both schemas are brought into alternatives first (`normal`). Each of the writer's must fit one of the reader's; values that
a schema lists are held against the whole reader. A pair of parts is assumed to fit only while it is being compared, and
what followed from an assumption that failed is forgotten with it.

A reader passes over fields that it does not know; so a writer's further field is never a difference, and a reader's
`additionalProperties: false` is not looked at beside named properties.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from eventbus.contracts.dialect import DECIMAL, NAMES, NUMBERS, Schema
from eventbus.contracts.difference import Difference, Kind, step
from eventbus.contracts.joining import OTHERS, UNKNOWN, both
from eventbus.contracts.kinds import finite, kind_of, listed, may_hold, types
from eventbus.contracts.matching import matches
from eventbus.contracts.normal import Normalizer, constants
from eventbus.contracts.scalars import bounds, compare_decimals, compare_numbers, compare_strings
from eventbus.errors import ContractError

_MOST = 50_000
_ALL = frozenset({"boolean", "null", "number", "string", "array", "object"})


def differences(written: Schema, read: Schema) -> list[Difference]:
    """Return why a reader of `read` may refuse what a writer of `written` sends; empty when it never does.

    Raises:
        ContractError: one is too large or too deep to be compared, or is no schema.
    """
    try:
        found = _Comparison(written, read).compare(written, read)
    except RecursionError:
        raise ContractError("a schema is too deep to be compared") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ContractError(f"a schema cannot be compared: {type(error).__name__}: {error}") from error
    return list(dict.fromkeys(found))


class _Comparison:
    def __init__(self, written: Schema, read: Schema) -> None:
        self._writer = Normalizer(written, is_reader=False)
        self._reader = Normalizer(read, is_reader=True)
        self._assumed: dict[tuple[str, str], None] = {}
        self._failed: dict[tuple[str, str], list[Difference]] = {}
        self._left = _MOST

    def compare(self, written: Any, read: Any) -> list[Difference]:
        """Return the differences of two parts; their paths begin at the parts."""
        self._left -= 1
        if self._left < 0:
            raise ContractError(f"more than {_MOST:,} parts: the schemas are too large to be compared")
        if read is True or read == {}:
            return []
        pair = (repr(written), repr(read))
        if pair in self._assumed:
            return []
        if pair in self._failed:
            return self._failed[pair]
        proved = len(self._assumed)
        self._assumed[pair] = None
        found = self._compare_alternatives(written, read)
        if found:
            for each in list(self._assumed)[proved:]:
                del self._assumed[each]
            self._failed[pair] = found
        return found

    def _compare_alternatives(self, written: Any, read: Any) -> list[Difference]:
        reads = self._reader.alternatives(read)
        if any(not each for each in reads):
            return []
        found: list[Difference] = []
        for one in self._writer.alternatives(written):
            if "enum" in one:  # of the values that a oneOf allows twice none is sent
                one = {**one, "enum": [each for each in one["enum"] if self._writer.conformance.holds(written, each)]}
            found += self._compare_alternative(one, reads, read)
        return found

    def _compare_alternative(self, written: Schema, reads: list[Schema], read: Any) -> list[Difference]:
        if not written.keys() - {UNKNOWN, OTHERS}:
            if {kind_of(each) for each in reads if "enum" not in each} | {
                kind for each in reads if "enum" in each for kind in finite(each)
            } >= _ALL:
                return [each for kind in _ALL for each in self._compare_alternatives({"type": kind}, read)]
            return [Difference("", Kind.TYPE, f"may be anything, and only {types(reads)} is accepted")]
        values = constants(written) if "enum" in written or any("enum" in each for each in reads) else None
        if values is not None:
            refused = [each for each in values if not self._is_accepted(each, reads, read)]
            return [Difference("", Kind.VALUE, f"may be {each!r}, which is not accepted") for each in refused[:8]]
        candidates = [each for each in reads if may_hold(written, each)]
        if not candidates:
            return [Difference("", Kind.TYPE, f"is {types([written])}, and only {types(reads)} is accepted")]
        candidates = self._same_tag(written, candidates) or candidates
        tried = [list(self._compare_plain(written, each)) for each in candidates]
        if all(tried):
            split = self._split_by_tag(written, candidates) or _split_by_bounds(written, candidates)
            if split:
                return [each for one in split for each in self._compare_alternative(one, reads, read)]
            values = constants(written)
            if values is not None and all(self._is_accepted(each, candidates, read) for each in values):
                return []
            same_type = [found for found, each in zip(tried, candidates, strict=False) if "enum" not in each]
            return min(same_type or tried, key=len)
        return []

    def _is_accepted(self, value: Any, reads: list[Schema], read: Any) -> bool:
        return not any(each.get(UNKNOWN) for each in reads) and self._reader.conformance.holds(read, value)

    def _compare_plain(self, written: Schema, read: Schema) -> Iterator[Difference]:
        unknown = read.get(UNKNOWN, frozenset()) - {"x-eventbus"}
        if unknown:
            yield Difference("", Kind.FORM, f"is read by a rule that cannot be compared: {', '.join(sorted(unknown))}")
        for other in read.get(OTHERS, ()):
            if not self._reader.disjoint(written, other):
                yield Difference("", Kind.VALUE, "may be valid by more than one of oneOf, which is refused")
                break
        if "enum" in read:
            yield Difference("", Kind.VALUE, f"may be any {types([written])}, and only {listed(read['enum'])} are accepted")
            return
        kind = written.get("type")
        if kind == "object":
            yield from self._compare_objects(written, read)
        elif kind == "array":
            yield from self._compare_arrays(written, read)
        elif kind == "string":
            yield from compare_strings("", written, read)
        elif kind in ("integer", "number"):
            yield from compare_numbers("", written, read)
            if DECIMAL in read:  # read as a decimal, of a number that is written as such
                mine = {word: str(bound) for word, bound in written.items() if word in NUMBERS}
                places = {"decimalPlaces": "0"} if kind == "integer" else {}
                yield from compare_decimals("", {**written.get(DECIMAL, {}), **mine, **places}, read[DECIMAL])

    def _compare_objects(self, written: Schema, read: Schema) -> Iterator[Difference]:
        there, wanted = written.get("properties", {}), read.get("properties", {})
        always = set(written.get("required", ()))
        more = written.get("additionalProperties", True)
        sent = {**there, **{name: more for name in always if name not in there}}
        for name in dict.fromkeys([*wanted, *read.get("required", ())]):
            schema = wanted.get(name, True)
            names = schema[NAMES] if isinstance(schema, Mapping) and NAMES in schema else [[name]]
            is_needed = name in read.get("required", ())
            is_sure = False
            for path in names:
                if not all(isinstance(key, str) for key in path) or len(path) > 1:
                    yield Difference(
                        step(name), Kind.FORM, f"is read at {'.'.join(map(str, path))}, which cannot be compared"
                    )
                    continue
                key = path[0]
                is_sure = is_sure or key in always
                if key in sent:
                    yield from self._below(key, sent[key], schema)
                elif self._writer.alternatives(_entry(written, key)) and self._may_be_key(written, key):
                    yield from self._below(key, _entry(written, key), schema)
            if is_needed and not is_sure:
                is_possible = any(
                    path[0] in sent
                    or (self._writer.alternatives(_entry(written, path[0])) and self._may_be_key(written, path[0]))
                    for path in names
                )
                kind = Kind.OPTIONAL if is_possible else Kind.MISSING
                yield Difference(step(name), kind, "is needed, and " + ("may be missing" if is_possible else "is not sent"))
        yield from self._compare_further(written, read, sent, more)
        least = max(written.get("minProperties", 0), len(always))
        most = written.get("maxProperties", float("inf"))
        if more is False and "patternProperties" not in written:
            most = min(most, len(there))
        counts = {"minProperties": least, **({"maxProperties": most} if most != float("inf") else {})}
        yield from bounds("", counts, read, "minProperties", "maxProperties", "entries")

    def _compare_further(self, written: Schema, read: Schema, sent: Schema, more: Any) -> Iterator[Difference]:
        """Compare the entries that the reader does not name: of a map each."""
        wanted = read.get("properties", {})
        values = read.get("additionalProperties", True)
        if values is False and "properties" in read:
            values = True  # a model passes over what it does not know
        patterns, theirs = written.get("patternProperties", {}), read.get("patternProperties", {})
        if values is not True or theirs:
            for name, each in sent.items():
                mine = [schema for pattern, schema in theirs.items() if matches(pattern, name)]
                for schema in mine or ([] if name in wanted else [values]):
                    yield from self._below(name, each, schema)
            further = [*patterns.values(), *([] if more is False else [more])]
            for each in further:
                yield from (_at("{}", found) for found in self.compare(each, values))
            for pattern, schema in theirs.items():
                # where the writer has the same pattern, it says all of the keys that have it
                sources = [patterns[pattern]] if pattern in patterns else further
                for each in sources:
                    yield from (_at("{}", found) for found in self.compare(each, schema))
        names = read.get("propertyNames", True)
        if names is not True:
            if any(not self._reader.conformance.holds(names, name) for name in sent):
                yield Difference("", Kind.FORM, "has keys that are not accepted")
            if more is not False or patterns:
                mine = written.get("propertyNames", True)
                text = {"type": "string"} if mine is True else {"allOf": [{"type": "string"}, mine]}
                yield from (
                    Difference("", Kind.FORM, f"may have keys that are not accepted: a key {found.reason}")
                    for found in self.compare(text, names)
                )

    def _may_be_key(self, written: Schema, name: str) -> bool:
        return self._writer.conformance.holds(written.get("propertyNames", True), name)

    def _compare_arrays(self, written: Schema, read: Schema) -> Iterator[Difference]:
        firsts, wanted = written.get("prefixItems", []), read.get("prefixItems", [])
        rest, wanted_rest = written.get("items", True), read.get("items", True)
        most = written.get("maxItems", float("inf"))
        for place in range(int(min(max(len(firsts), len(wanted)), most))):
            mine = firsts[place] if place < len(firsts) else rest
            theirs = wanted[place] if place < len(wanted) else wanted_rest
            if theirs is not False:  # too many items, which is said below
                yield from (_at(f"[{place}]", each) for each in self.compare(mine, theirs))
        if rest is not False and wanted_rest is not False and most > max(len(firsts), len(wanted)):
            yield from (_at("[]", each) for each in self.compare(rest, wanted_rest))
        yield from bounds("", written, read, "minItems", "maxItems", "items")
        if read.get("uniqueItems") and not written.get("uniqueItems") and most > 1:
            yield Difference("", Kind.FORM, "may have an item twice, which is not accepted")

    def _below(self, name: str, written: Any, read: Any) -> Iterator[Difference]:
        yield from (_at(step(name), each) for each in self.compare(written, read))

    def _tags(self, schema: Schema, normalizer: Normalizer) -> dict[str, list[Any]]:
        found = {}
        for name in schema.get("properties", {}):
            alternatives = normalizer.alternatives(schema["properties"][name])
            if alternatives and all("enum" in each for each in alternatives):
                found[name] = [value for each in alternatives for value in each["enum"]]
        return found

    def _same_tag(self, written: Schema, reads: list[Schema]) -> list[Schema]:
        """Return the reader's variants with the same constant tag as this variant of a union, where it has one."""
        if written.get("type") != "object" or len(reads) < 2:
            return []
        mine = {name: values[0] for name, values in self._tags(written, self._writer).items() if len(values) == 1}
        return [
            read
            for read in reads
            if any(mine.get(name) in tags for name, tags in self._tags(read, self._reader).items() if name in mine)
        ]

    def _split_by_tag(self, written: Schema, reads: list[Schema]) -> list[Schema]:
        """Return the writer's variant once for each value of a field by which the reader tells its variants apart."""
        if written.get("type") != "object" or len(reads) < 2:
            return []
        for name, values in self._tags(written, self._writer).items():
            if 1 < len(values) <= 32 and all(name in self._tags(each, self._reader) for each in reads):
                fields = written["properties"]
                return [{**written, "properties": {**fields, name: {"enum": [value]}}} for value in values]
        return []


def _entry(written: Schema, name: str) -> Any:
    """Return the schema of an entry that the writer does not name."""
    found: Any = None
    for pattern, schema in written.get("patternProperties", {}).items():
        if matches(pattern, name):
            found = schema if found is None else both(found, schema)
    return written.get("additionalProperties", True) if found is None else found


def _split_by_bounds(written: Schema, reads: list[Schema]) -> list[Schema]:
    """Return the writer's whole numbers in parts, cut where a range of the reader begins or ends."""
    if written.get("type") != "integer" or len(reads) < 2:
        return []
    low, high = written.get("minimum", float("-inf")), written.get("maximum", float("inf"))
    ranges = [each for each in reads if each.get("type") == "integer"]
    cuts = [each["minimum"] for each in ranges if "minimum" in each]
    cuts += [each["maximum"] + 1 for each in ranges if "maximum" in each]
    cut = next((each for each in sorted(cuts) if low < each <= high), None)
    return [] if cut is None else [{**written, "maximum": cut - 1}, {**written, "minimum": cut}]


def _at(part: str, found: Difference) -> Difference:
    joint = "" if not found.path or found.path[0] in "[{" else "."
    return replace(found, path=f"{part}{joint}{found.path}")
