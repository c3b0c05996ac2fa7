"""Normal form: a schema as alternatives, none of which has a union, a reference or parts joined by `allOf` any more.

What stands beside a union or a reference holds for each of its alternatives. Of a writer an alternative may allow more than
the schema, of a reader never: what cannot be joined exactly is marked there as a rule that cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor
from typing import Any

from eventbus.contracts.conform import Conformance, equal
from eventbus.contracts.dialect import ARRAYS, COMPARED, JOINING, NUMBERS, OBJECTS, TEXTS, Schema, is_remark, target
from eventbus.contracts.joining import LARGER, OTHERS, PATTERNS, SMALLER, UNKNOWN, join
from eventbus.errors import ContractError

_UNION, _ALSO = "!union", "!also"
"""Steps of a path of references: through a union, through `allOf`."""
_MOST = 400
_FITTING = {
    "number": NUMBERS | {"x-decimal"},
    "integer": NUMBERS | {"x-decimal"},
    "string": TEXTS | {PATTERNS},
    "array": ARRAYS,
    "object": OBJECTS,
    "boolean": frozenset(),
    "null": frozenset(),
}
_ALL = ("null", "boolean", "number", "string", "array", "object")


class Normalizer:
    """Brings the schemas of one file into normal form.

    Args:
        root: the whole schema.
        is_reader: as `Conformance`.
    """

    def __init__(self, root: Schema, *, is_reader: bool) -> None:
        self._root = root
        self._is_reader = is_reader
        self.conformance = Conformance(root, is_reader=is_reader)
        self._known: dict[int, tuple[Any, list[Schema]]] = {}

    def alternatives(self, schema: Any) -> list[Schema]:
        """Return the alternatives of a schema; none for one that allows nothing, one empty one for anything."""
        known = self._known.get(id(schema))
        if known is not None and known[0] is schema:
            return known[1]
        found = self._split(schema, ())
        self._known[id(schema)] = (schema, found)  # the schema too, so that its id stays its own
        return found

    def _split(self, schema: Any, path: tuple[str, ...]) -> list[Schema]:
        if schema is True:
            return [{}]
        if schema is False:
            return []
        found = self._plain(schema)
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in path:
                since = path[path.index(reference) :]
                if _UNION not in since or _ALSO in since:
                    raise ContractError(f"$ref {reference!r} leads to itself: it says nothing of a value")
                return []  # of a union that has itself as a member: no further alternative
            try:
                meant = target(reference, self._root)
            except KeyError:
                raise ContractError(f"$ref {reference!r} leads nowhere inside of its file") from None
            found = self._join(found, self._split(meant, (*path, reference)))
        for each in schema.get("allOf", ()):
            found = self._join(found, self._split(each, (*path, _ALSO)))
        if "anyOf" in schema:
            found = self._join(found, [one for each in schema["anyOf"] for one in self._split(each, (*path, _UNION))])
        if "oneOf" in schema:
            found = self._join(found, self._one_of(schema, (*path, _UNION)))
        return [each for one in found for each in self._typed(one)]

    def _plain(self, schema: Schema) -> list[Schema]:
        own = {word: value for word, value in schema.items() if word in COMPARED - JOINING}
        unknown = {word for word in schema if word not in COMPARED and not is_remark(word)}
        if unknown:
            own[UNKNOWN] = frozenset(unknown)
        if "pattern" in own:
            own[PATTERNS] = frozenset({own.pop("pattern")})
        if "const" in own:
            constant = own.pop("const")
            own["enum"] = [each for each in own.get("enum", [constant]) if equal(each, constant)]
        kinds = own.get("type")
        if isinstance(kinds, list):
            return [{**own, "type": kind} for kind in kinds if not (kind == "integer" and "number" in kinds)]
        return [own]

    def _one_of(self, schema: Schema, path: tuple[str, ...]) -> list[Schema]:
        groups = [self._split(each, path) for each in schema["oneOf"]]
        tag = (schema.get("discriminator") or {}).get("propertyName")
        if tag is not None:  # a reader needs the tag, whether or not the variant has a default for it
            groups = [[{**each, "required": sorted({*each.get("required", ()), tag})} for each in group] for group in groups]
        found: list[Schema] = []
        for number, group in enumerate(groups):
            for each in group:
                beside = [other for place, others in enumerate(groups) if place != number for other in others]
                clashing = [other for other in beside if not self.disjoint(each, other)]
                found.append({**each, OTHERS: [*each.get(OTHERS, ()), *clashing]} if clashing else each)
        return found

    def _join(self, ones: list[Schema], others: list[Schema]) -> list[Schema]:
        if len(ones) * len(others) > _MOST:
            raise ContractError(f"more than {_MOST} alternatives in one place: it cannot be compared")
        joined = (join(one, other) for one in ones for other in others)
        return [each for each in joined if each is not None]

    def _typed(self, schema: Schema) -> list[Schema]:
        """Return a schema by its types, each with the keywords that say something of it; what has few values as these."""
        if "enum" in schema:
            rest = {word: value for word, value in schema.items() if word not in ("enum", UNKNOWN, OTHERS)}
            rest = _standard(rest)
            marks = {word: schema[word] for word in (UNKNOWN, OTHERS) if word in schema}
            return [{"enum": [each for each in schema["enum"] if self.conformance.holds(rest, each)], **marks}]
        kind = schema.get("type")
        if kind is None:
            if not schema.keys() - {UNKNOWN, OTHERS}:
                return [schema]
            return [each for one in _ALL for each in self._typed({**schema, "type": one})]
        marks = {word: value for word, value in schema.items() if word in (UNKNOWN, OTHERS)}
        if kind == "boolean":
            return [{"enum": [False, True], **marks}]
        if kind == "null":
            return [{"enum": [None], **marks}]
        own = {word: value for word, value in schema.items() if word in _FITTING[kind]}
        if kind == "number" and "multipleOf" in own and float(own["multipleOf"]).is_integer():
            kind = "integer"
        if kind == "number" and "minimum" in own and own["minimum"] == own.get("maximum") and own["minimum"] % 1 == 0:
            kind = "integer"
        if kind == "integer":
            own = _whole(own)
        if kind == "array":
            _end_array(own)
        return [{"type": kind, **own, **marks}]

    def disjoint(self, one: Schema, other: Schema) -> bool:
        """Whether no value is valid by both alternatives, as far as is easily seen."""
        if "enum" in one or "enum" in other:
            constants, rest = (one, other) if "enum" in one else (other, one)
            plain = _standard({word: value for word, value in rest.items() if not word.startswith("!")})
            return not any(self.conformance.holds(plain, each) for each in constants["enum"])
        if not one or not other or "type" not in one or "type" not in other:
            return False
        if one["type"] != other["type"]:
            return {one["type"], other["type"]} != {"integer", "number"}
        if one["type"] == "object":
            for name in set(one.get("required", ())) & set(other.get("required", ())):
                mine, theirs = (self.alternatives(each.get("properties", {}).get(name, True)) for each in (one, other))
                if all(self.disjoint(a, b) for a in mine for b in theirs):
                    return True
        if any(
            each.get("properties", {}).get(name) is False
            for a, each in ((one, other), (other, one))
            for name in a.get("required", ())
        ):
            return True
        joined = join(one, other)
        return joined is None or any(
            joined.get(least, float("-inf")) > joined.get(most, float("inf"))
            for least, most in zip(LARGER, SMALLER, strict=True)
        )


def _standard(schema: Schema) -> dict[str, Any]:
    """Return an alternative as JSON Schema has it."""
    made = {word: value for word, value in schema.items() if not word.startswith("!")}
    if PATTERNS in schema:
        made["allOf"] = [{"pattern": each} for each in sorted(schema[PATTERNS])]
    return made


def _end_array(own: dict[str, Any]) -> None:
    """Say as a number of items that none is allowed from some place on."""
    firsts = list(own.get("prefixItems", ()))
    if False in firsts:
        firsts = firsts[: firsts.index(False)]
        own["items"] = False
    if own.get("items") is False:
        own.update({"prefixItems": firsts} if firsts else {})
        own["maxItems"] = min(own.get("maxItems", len(firsts)), len(firsts))
        if not firsts:
            own.pop("prefixItems", None)


def _whole(own: dict[str, Any]) -> dict[str, Any]:
    low = [ceil(own["minimum"])] if "minimum" in own else []
    low += [floor(own["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in own else []
    high = [floor(own["maximum"])] if "maximum" in own else []
    high += [ceil(own["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in own else []
    made = {word: value for word, value in own.items() if word in ("multipleOf", "x-decimal")}
    return {**made, **({"minimum": max(low)} if low else {}), **({"maximum": min(high)} if high else {})}


def constants(schema: Mapping[str, Any]) -> list[Any] | None:
    """Return the values of an alternative that has but some; None for any other."""
    if "enum" in schema:
        return list(schema["enum"])
    if schema.get("type") == "integer" and "minimum" in schema and "maximum" in schema:
        low, high = schema["minimum"], schema["maximum"]
        if high - low <= 64:
            step = schema.get("multipleOf", 1)
            return [each for each in range(low, high + 1) if each % step == 0]
    return None
