"""Paths: which fields a schema has, and who reads one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from eventbus.contracts.dialect import NAMES, target
from eventbus.contracts.difference import step
from eventbus.contracts.schema import read_schema
from eventbus.event import event_topic

if TYPE_CHECKING:
    from eventbus.contracts.contract import Contract
    from eventbus.contracts.views import View

_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|\[\d*\]|\{\}|[^.\[\]{}"]+')


def impact(field: str, views: Iterable[View], contracts: Iterable[Contract]) -> tuple[list[str], list[str]]:
    """Return who reads `topic.field` (names of views), and which fields of that topic nobody reads.

    Who reads an object whole, as a map or as anything, reads all that is below it. A field inside a list is written
    `lines[].quantity` or `lines.quantity`; a name that looks like a path is quoted, as `"a.b"`.
    """
    known = list(contracts)
    topic = max((c.topic for c in known if field == c.topic or field.startswith(f"{c.topic}.")), key=len, default="")
    asked = split(field.removeprefix(topic).removeprefix("."))
    mine = [view for view in views if event_topic(view.event_type) == topic]
    read = {view.name: read_paths(read_schema(view.event_type)) for view in mine}
    readers = sorted({name for name, paths in read.items() if not asked or any(_covers(*each, asked) for each in paths)})
    every = [each for paths in read.values() for each in paths]
    sent = {each for c in known if c.topic == topic and c.retired is None for each in field_paths(c.schema)}
    return readers, sorted(each for each in sent if not any(_covers(*path, split(each)) for path in every))


def split(path: str) -> tuple[str, ...]:
    """Return the names on a path, without the steps into lists: `lines[].sku` is (lines, sku), an entry of a map is {}."""
    found = []
    for part in _STEP.findall(path):
        if part.startswith("["):
            continue
        found.append(json.loads(part) if part.startswith('"') else part)
    return tuple(found)


def _covers(read: tuple[str, ...], is_whole: bool, asked: tuple[str, ...]) -> bool:
    """Whether who reads one path reads the field asked for: itself, something below it, or it as a part of a whole."""
    if len(read) < len(asked):
        return is_whole and _fits(read, asked[: len(read)])
    return _fits(read[: len(asked)], asked)


def _fits(read: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    return all(mine == theirs or "{}" in (mine, theirs) for mine, theirs in zip(read, asked, strict=True))


def read_paths(schema: Mapping[str, Any]) -> list[tuple[tuple[str, ...], bool]]:
    """Return the paths that a view reads, each with whether it is read whole: all that is below is read then."""
    return [(split(path), is_whole) for path, is_whole in _walk(schema, by_names=True).items()]


def field_paths(schema: Mapping[str, Any]) -> list[str]:
    """Return the paths of all fields that a schema names; of a recursive one each field once."""
    return [path for path in _walk(schema, by_names=False) if path and not path.endswith(("[]", "{}"))]


def _walk(schema: Mapping[str, Any], *, by_names: bool) -> dict[str, bool]:
    found: dict[str, bool] = {}

    def walk(part: Any, path: str, seen: frozenset[str]) -> None:
        if part is False:
            return
        if not isinstance(part, Mapping):
            found[path] = True
            return
        if "$ref" in part:
            if part["$ref"] not in seen:
                walk(target(part["$ref"], schema), path, seen | {part["$ref"]})
            return
        joined = [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())]
        for each in joined:
            walk(each, path, seen)
        for name, each in part.get("properties", {}).items():
            names = each.get(NAMES, [[name]]) if by_names and isinstance(each, Mapping) else [[name]]
            for keys in names:
                inner = path
                for key in keys:
                    inner = f"{inner}[]" if isinstance(key, int) else f"{inner}.{step(key)}" if inner else step(str(key))
                found.setdefault(inner, False)
                walk(each, inner, seen)
        for each in part.get("prefixItems", ()):
            walk(each, path, seen)
        if "items" in part:
            walk(part["items"], f"{path}[]", seen)
        kind = part.get("type")
        if (kind == "object" and "properties" not in part) or part.get("additionalProperties") not in (None, False):
            found[path] = True
            walk(part.get("additionalProperties", True), f"{path}{{}}", seen)
        if not joined and kind is None and "properties" not in part and "enum" not in part and "const" not in part:
            found[path] = True

    walk(schema, "", frozenset())
    return found
