"""Subset: whether everything that one schema allows is accepted by another, and if not, where and why.

The question is asked of a writer and a reader. The answer is sound: no difference found means that no value exists which the
writer may send and the reader refuses, as far as schemas can tell. It is decided part by part, so that in rare cases a
difference is found where the parts together would fit; each finding says what it compared.

A reader passes over fields that it does not know; so a writer's further field is never a difference, and a reader's
`additionalProperties: false` is not looked at beside named properties.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eventbus.contracts.difference import Difference, Kind
from eventbus.contracts.scalars import NUMBER_BOUNDS, bounds, compare_decimals, compare_numbers, compare_strings
from eventbus.contracts.schema import DECIMAL, MADE

Schema = Mapping[str, Any]

_ANNOTATIONS = frozenset(
    {"title", "description", "examples", "default", "deprecated", "$defs", "$schema", "$id", "readOnly", "writeOnly", MADE}
)
_KNOWN = _ANNOTATIONS | {
    *("$ref", "type", "enum", "const", "anyOf", "oneOf", "allOf", "discriminator", "properties", "required"),
    *("additionalProperties", "minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems"),
    *("uniqueItems", "minLength", "maxLength", "pattern", "format", "contentEncoding", DECIMAL, "x-eventbus"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "propertyNames", "contentMediaType"),
}


def differences(written: Schema, read: Schema) -> list[Difference]:
    """Return why a reader of `read` may refuse what a writer of `written` sends; empty when it never does."""
    return list(dict.fromkeys(_Comparison(written, read).compare("", written, read)))


class _Comparison:
    def __init__(self, written: Schema, read: Schema) -> None:
        self._written = written.get("$defs", {})
        self._read = read.get("$defs", {})
        self._assumed: set[tuple[str, str]] = set()

    def compare(self, path: str, written: Schema, read: Schema) -> Iterator[Difference]:
        pair = (_key(written), _key(read))
        if pair in self._assumed:
            return  # of a recursive schema: asked already, further up
        if "$ref" in written or "$ref" in read:
            self._assumed.add(pair)
        reads = list(_branches(read, self._read))
        if any(_is_anything(each) for each in reads):
            return
        for branch in _branches(written, self._written):
            yield from self._compare_branch(path, branch, reads)

    def _compare_branch(self, path: str, written: Schema, reads: list[Schema]) -> Iterator[Difference]:
        if _is_anything(written):
            yield Difference(path, Kind.TYPE, f"may be anything, and only {_types(reads)} is accepted")
            return
        if "enum" in written:
            for value in written["enum"]:
                if not any(self._takes(path, value, each) for each in reads):
                    yield Difference(path, Kind.VALUE, f"may be {value!r}, which is not accepted")
            return
        candidates = [each for each in reads if _may_hold(written, each)]
        if not candidates:
            yield Difference(path, Kind.TYPE, f"is {_types([written])}, and only {_types(reads)} is accepted")
            return
        tagged = _same_tag(written, candidates, self._written, self._read)
        found = [list(self._compare_plain(path, written, each)) for each in tagged or candidates]
        if all(found):
            yield from min(found, key=len)

    def _takes(self, path: str, value: Any, read: Schema) -> bool:
        if "enum" in read:
            return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in read["enum"])
        as_schema = {"type": _type_of(value), **_exactly(value)}
        return _may_hold(as_schema, read) and not list(self._compare_plain(path, as_schema, read))

    def _compare_plain(self, path: str, written: Schema, read: Schema) -> Iterator[Difference]:
        unknown = read.keys() - _KNOWN
        if unknown:
            yield Difference(path, Kind.FORM, f"is read by a rule that cannot be compared: {', '.join(sorted(unknown))}")
        if "enum" in read:
            yield Difference(
                path, Kind.VALUE, f"may be any {_types([written])}, and only {_listed(read['enum'])} are accepted"
            )
            return
        kind = written.get("type")
        if kind == "object":
            yield from self._compare_objects(path, written, read)
        elif kind == "array":
            yield from self._compare_arrays(path, written, read)
        elif kind == "string":
            yield from compare_strings(path, written, read)
        elif kind in ("integer", "number"):
            yield from compare_numbers(path, written, read)
            if DECIMAL in read:  # read as a decimal, of a number that is written as such
                mine = {word: str(bound) for word, bound in written.items() if word in NUMBER_BOUNDS}
                places = {"decimalPlaces": "0"} if kind == "integer" else {}
                yield from compare_decimals(path, {**written.get(DECIMAL, {}), **mine, **places}, read[DECIMAL])

    def _compare_objects(self, path: str, written: Schema, read: Schema) -> Iterator[Difference]:
        there, wanted = written.get("properties", {}), read.get("properties", {})
        always = set(written.get("required", ()))
        more = written.get("additionalProperties", not there)
        for name in read.get("required", ()):
            if name not in there:
                is_possible = more is not False
                kind = Kind.OPTIONAL if is_possible else Kind.MISSING
                yield Difference(
                    _join(path, name), kind, "is needed, and " + ("may be missing" if is_possible else "is not sent")
                )
            elif name not in always:
                yield Difference(_join(path, name), Kind.OPTIONAL, "is needed, and may be missing")
        for name, schema in wanted.items():
            if name in there:
                yield from self.compare(_join(path, name), there[name], schema)
            elif isinstance(more, Mapping):
                yield from self.compare(_join(path, name), more, schema)
        values = read.get("additionalProperties")
        if isinstance(values, Mapping):
            for name in there.keys() - wanted.keys():
                yield from self.compare(_join(path, name), there[name], values)
            if isinstance(more, Mapping):
                yield from self.compare(f"{path}{{}}", more, values)
            elif more is True:
                yield from self.compare(f"{path}{{}}", {}, values)
        names = read.get("propertyNames")
        if names is not None and written.get("propertyNames") != names:
            yield Difference(path, Kind.FORM, "may have keys that are not accepted")
        yield from bounds(path, written, read, "minProperties", "maxProperties", "entries")

    def _compare_arrays(self, path: str, written: Schema, read: Schema) -> Iterator[Difference]:
        firsts, wanted = written.get("prefixItems", []), read.get("prefixItems", [])
        rest, wanted_rest = written.get("items", {}), read.get("items", {})
        most = written.get("maxItems")
        for place in range(max(len(firsts), len(wanted))):
            if most is not None and place >= most:
                break
            mine = firsts[place] if place < len(firsts) else rest
            theirs = wanted[place] if place < len(wanted) else wanted_rest
            if mine is not False and theirs is not False:
                yield from self.compare(f"{path}[{place}]", mine, theirs)
        if rest is not False and wanted_rest is not False and not (most is not None and most <= len(firsts)):
            yield from self.compare(f"{path}[]", rest, wanted_rest)
        yield from bounds(path, written, read, "minItems", "maxItems", "items")
        if read.get("uniqueItems") and not written.get("uniqueItems"):
            yield Difference(path, Kind.FORM, "may have an item twice, which is not accepted")


def _branches(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """Yield the alternatives of a schema, none of which is a union or a reference any more."""
    if "$ref" in schema:
        yield from _branches({**definitions[schema["$ref"].rsplit("/", 1)[1]]}, definitions)
    elif "anyOf" in schema or "oneOf" in schema:
        for each in schema.get("anyOf") or schema["oneOf"]:
            yield from _branches(each, definitions)
    elif len(schema.get("allOf", ())) == 1:
        yield from _branches(schema["allOf"][0], definitions)
    elif "const" in schema:
        yield {**schema, "enum": [schema["const"]]}
    elif isinstance(schema.get("type"), list):
        for each in schema["type"]:
            yield {**schema, "type": each}
    else:
        yield schema


def _is_anything(schema: Schema) -> bool:
    return not (schema.keys() - _ANNOTATIONS)


def _may_hold(written: Schema, read: Schema) -> bool:
    if "enum" in read:
        return True
    mine, theirs = written.get("type"), read.get("type")
    return mine == theirs or (mine == "integer" and theirs == "number")


def _same_tag(written: Schema, reads: list[Schema], mine: Schema, theirs: Schema) -> list[Schema]:
    """Return the readers' variants with the same constant tag as this variant of a union, where it has one."""
    tags = {name: tag for name, each in written.get("properties", {}).items() if (tag := _constant(each, mine)) is not None}
    if not tags:
        return []
    return [
        read
        for read in reads
        if any(_constant(read.get("properties", {}).get(name, {}), theirs) == tag for name, tag in tags.items())
    ]


def _constant(schema: Schema, definitions: Schema) -> Any:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    values = schema.get("enum", [])
    return schema.get("const", values[0] if len(values) == 1 else None)


def _type_of(value: Any) -> str:
    names = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        type(None): "null",
        list: "array",
        dict: "object",
    }
    return names[type(value)]


def _exactly(value: Any) -> dict[str, Any]:
    if isinstance(value, bool) or value is None:
        return {}
    if isinstance(value, int | float):
        return {"minimum": value, "maximum": value, "multipleOf": value or 1}
    if isinstance(value, str):
        return {"minLength": len(value), "maxLength": len(value)}
    return {}


def _types(schemas: list[Schema]) -> str:
    words = []
    for each in schemas:
        if "enum" in each:
            words.append(f"one of {_listed(each['enum'])}")
        else:
            words.append(" ".join(filter(None, (each.get("type", "anything"), each.get("format")))))
    return " or ".join(dict.fromkeys(words))


def _listed(values: list[Any]) -> str:
    return ", ".join(map(repr, values[:8])) + (", ..." if len(values) > 8 else "")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _key(schema: Schema) -> str:
    return str(schema["$ref"]) if "$ref" in schema else repr(schema)
