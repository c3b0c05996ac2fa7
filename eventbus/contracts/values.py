"""Values: examples and edge values of a schema, always the same for the same schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from eventbus.contracts.conform import Conformance
from eventbus.contracts.dialect import Schema, needs_too_much, target
from eventbus.contracts.joining import join
from eventbus.contracts.texts import integer_edges, number, number_edges, plain_text, text_edges
from eventbus.errors import ContractError

_DEEPEST = 6
_NEVER = 40


def example(schema: Schema) -> Any:
    """Return one plain value of `schema`, with all of its fields.

    Raises:
        ContractError: none could be made.
    """
    return _Maker(schema).plain(schema, 0)


def edges(schema: Schema, *, most: int = 500) -> Iterator[Any]:
    """Yield values of `schema` that each differ from the plain one in one place: each variant, the shortest, the largest.

    They come from the fields in turn, so that a field with many does not keep the others from being tried.
    """
    yield from islice(_Maker(schema).variants(schema, 0), most)


_COUNTED = 2_000


def trial_values(contract: Any, most: int = 500) -> tuple[list[Any], int]:
    """Return values that the owner of a contract may send, and of how many they are the first."""
    if contract.trials is not None:
        found = [*contract.examples, *contract.trials]
        return found[:most], len(found)
    made = list(islice(_Maker(contract.schema).variants(contract.schema, 0), _COUNTED))
    found = [*contract.examples, example(contract.schema), *made]
    return found[:most], len(found)


def trial_count(contract: Any, most: int = 500) -> tuple[int, int]:
    """Return how many values of a contract are tried, and of how many; past 2,000 nobody counts."""
    values, total = trial_values(contract, most)
    return len(values), total


def count_in_words(tried: int, total: int) -> str:
    """Return `212 of 212 values`, or `500 of more than 2,000 values`."""
    return f"{tried:,} of {f'more than {_COUNTED:,}' if total >= _COUNTED else f'{total:,}'} values"


def in_turn(sources: Iterable[Iterator[Any]]) -> Iterator[Any]:
    """Yield one of each, then the next of each."""
    left = list(sources)
    while left:
        still: list[Iterator[Any]] = []
        for source in left:
            for value in islice(source, 1):
                yield value
                still.append(source)
        left = still


class _Maker:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._conformance = Conformance(root)

    def _alternatives(self, schema: Any, path: tuple[str, ...] = ()) -> list[Schema]:
        """Return the alternatives of a schema; fields and items stay as they are."""
        if schema is True:
            return [{}]
        if schema is False:
            return []
        own = {word: value for word, value in schema.items() if word not in ("$ref", "anyOf", "oneOf", "allOf")}
        groups: list[list[Schema]] = []
        if "$ref" in schema:
            if schema["$ref"] in path:
                return []
            groups.append(self._alternatives(target(schema["$ref"], self._root), (*path, schema["$ref"])))
        groups += [self._alternatives(each, path) for each in schema.get("allOf", ())]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                groups.append([one for each in schema[word] for one in self._alternatives(each, path)])
        found: list[Schema] = [own]
        for group in groups:
            found = [_joined(one, other) for one in found for other in group]
        kinds = own.get("type")
        if isinstance(kinds, list):
            return [{**each, "type": kind} for each in found for kind in kinds]
        return found

    def plain(self, schema: Any, depth: int) -> Any:
        """Return the plainest value; of a recursive schema the one that ends soonest."""
        if depth > _NEVER:
            raise ContractError("no example could be made: the class needs itself without an end")
        if isinstance(schema, Mapping) and schema.get("examples"):
            given = schema["examples"][0]
            if self._conformance.holds(schema, given):
                return given
        alternatives = self._alternatives(schema)
        if depth > _DEEPEST:  # away from whatever goes deeper
            alternatives.sort(key=lambda each: each.get("type") in ("object", "array"))
        problem: ContractError | None = None
        for chosen in alternatives:
            try:
                return self._plain(chosen, depth)
            except ContractError as error:
                problem = problem or error
        raise problem or ContractError("no example could be made: nothing is allowed in one place")

    def _plain(self, schema: Schema, depth: int) -> Any:
        if excess := needs_too_much(schema):
            raise ContractError(f"no example could be made: {excess}, and no message holds so much")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            if not schema["enum"]:
                raise ContractError("no example could be made: nothing is allowed in one place")
            return schema["enum"][0]
        kind = schema.get("type")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._plain_object(schema, depth)
        if kind == "array":
            return self._plain_array(schema, depth)
        if kind == "string":
            return plain_text(schema)
        if kind == "integer":
            return int(number(schema, 1))
        if kind == "number":
            return float(number(schema, 1.5))
        return {"null": None, "boolean": True}.get(str(kind), "anything")

    def _plain_array(self, schema: Schema, depth: int) -> list[Any]:
        firsts = [self.plain(each, depth + 1) for each in schema.get("prefixItems", ())]
        least = schema.get("minItems", 0)
        items = schema.get("items", True)
        wanted = max(least, 0 if depth > _DEEPEST else min(1, schema.get("maxItems", 1)))
        if items is False or len(firsts) >= wanted:
            return firsts
        if not schema.get("uniqueItems") or wanted - len(firsts) == 1:
            return [*firsts, *[self.plain(items, depth + 1)] * (wanted - len(firsts))]
        return [*firsts, *self._different(items, depth + 1, wanted - len(firsts))]

    def _different(self, schema: Any, depth: int, count: int) -> list[Any]:
        found: list[Any] = []
        numbers = [{**each, "type": each["type"]} for each in self._alternatives(schema) if each.get("type") == "integer"]
        low = int(number(numbers[0], 1)) if numbers else 0
        candidates: Iterable[Any] = range(low, low + count) if numbers else self.variants(schema, depth)
        for value in candidates:
            if value not in found and self._conformance.holds(schema, value):
                found.append(value)
            if len(found) == count:
                return found
        texts = [each for each in self._alternatives(schema) if each.get("type") == "string"]
        for place in range(count * 3):
            value = f"text{place}"
            if texts and value not in found and self._conformance.holds(schema, value):
                found.append(value)
            if len(found) == count:
                return found
        raise ContractError(f"no {count} different items could be made; give the field Field(examples=[...])")

    def _keys(self, schema: Schema, count: int, depth: int) -> list[str]:
        names = schema.get("propertyNames", True)
        patterns = list(schema.get("patternProperties", {}))
        if names is True and patterns:
            names = {"type": "string", "pattern": patterns[0]}
        if names is True:
            return ["key", *(f"key{place}" for place in range(1, count))][: max(count, 1)]
        text = {"allOf": [{"type": "string"}, names]}
        return self._different(text, depth + 1, count) if count > 1 else [self.plain(text, depth + 1)]

    def _plain_object(self, schema: Schema, depth: int) -> dict[str, Any]:
        fields = schema.get("properties", {})
        needed = schema.get("required", ())
        made = {
            name: self.plain(each, depth + 1) for name, each in fields.items() if depth <= _DEEPEST + 2 or name in needed
        }
        made.update({name: "anything" for name in needed if name not in fields})
        more = self._further(schema)
        least = schema.get("minProperties", 0)
        if more is not None and (least > len(made) or (not made and depth <= _DEEPEST)) and schema.get("maxProperties", 1):
            for key in self._keys(schema, max(least - len(made), 1), depth):
                made[key] = self.plain(more, depth + 1)
        return made

    def _further(self, schema: Schema) -> Any:
        """Return the schema of entries without a name; None where there are none."""
        patterns = list(schema.get("patternProperties", {}).values())
        more = patterns[0] if patterns else schema.get("additionalProperties", True)
        if more is False or (more is True and schema.get("properties") and "additionalProperties" not in schema):
            return None
        return more

    # -- edges ------------------------------------------------------------------------------------------------------

    def variants(self, schema: Any, depth: int) -> Iterator[Any]:
        """Yield the plain value of each alternative, and what lies at its edges."""
        if depth > _DEEPEST:
            return
        yield from in_turn(self._variants(each, depth) for each in self._alternatives(schema))

    def _variants(self, schema: Schema, depth: int) -> Iterator[Any]:
        if "const" in schema or "enum" in schema:
            yield from (schema["const"],) if "const" in schema else schema["enum"]
            return
        try:
            yield self._plain(schema, depth)
        except ContractError:
            return
        kind = schema.get("type")
        if kind == "object" or (kind is None and "properties" in schema):
            yield from self._edges_object(schema, depth)
        elif kind == "array":
            yield from self._edges_array(schema, depth)
        elif kind == "string":
            yield from text_edges(schema)
        elif kind == "integer":
            yield from integer_edges(schema)
        elif kind == "number":
            yield from number_edges(schema)
        elif kind == "boolean":
            yield False
        elif kind is None:
            yield from (None, 0, "", [], {"key": 1.5}, True, {})

    def _edges_array(self, schema: Schema, depth: int) -> Iterator[Any]:
        plain = self._plain_array(schema, depth)
        firsts = schema.get("prefixItems", ())
        items = schema.get("items", True)
        least, most = schema.get("minItems", 0), schema.get("maxItems", 1000)

        def with_item(place: int, part: Any) -> Iterator[Any]:
            for value in self.variants(part, depth + 1):
                yield [*plain[:place], value, *plain[place + 1 :]]

        yield from in_turn(with_item(place, each) for place, each in enumerate(firsts))
        if items is False or most <= len(firsts):
            return
        if not schema.get("uniqueItems"):
            filler = self.plain(items, depth + 1)
            yield [*plain[: len(firsts)], *[filler] * max(0, least - len(firsts))]
            yield [*plain[: len(firsts)], *[filler] * (min(most if "maxItems" in schema else 3, 1000) - len(firsts))]
        elif not least:
            yield plain[: len(firsts)]
        for value in self.variants(items, depth + 1):
            yield [*plain[: len(firsts)], value, *plain[len(firsts) + 1 :]]

    def _edges_object(self, schema: Schema, depth: int) -> Iterator[Any]:
        plain = self._plain_object(schema, depth)
        fields, required = schema.get("properties", {}), schema.get("required", ())

        def with_field(name: str, part: Any) -> Iterator[Any]:
            if name not in required and len(plain) > schema.get("minProperties", 0):
                yield {other: value for other, value in plain.items() if other != name}
            yield from ({**plain, name: value} for value in self.variants(part, depth + 1))

        def with_entry(part: Any) -> Iterator[Any]:
            if not schema.get("minProperties"):
                yield {name: plain[name] for name in fields if name in plain}
            key = self._keys(schema, 1, depth)[0]
            yield from ({**plain, key: value} for value in self.variants(part, depth + 1))
            if "propertyNames" in schema:
                names = self.variants({"allOf": [{"type": "string"}, schema["propertyNames"]]}, depth + 1)
                yield from ({**plain, name: self.plain(part, depth + 1)} for name in names)

        sources = [with_field(name, each) for name, each in fields.items()]
        more = self._further(schema)
        if more is not None and schema.get("maxProperties", len(plain) + 1) > len(fields):
            sources.append(with_entry(more))
        yield from in_turn(sources)


def _joined(one: Schema, other: Schema) -> Schema:
    if not one.keys() - {"title", "description"}:
        return other
    pattern = one.get("pattern") or other.get("pattern")
    return (
        join(one, other) or {"enum": []} if pattern is None else {**(join(one, other) or {"enum": []}), "pattern": pattern}
    )
