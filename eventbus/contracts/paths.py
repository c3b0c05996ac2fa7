"""Paths: which fields a schema has, and which of them a reader takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from eventbus.contracts.dialect import NAMES, target
from eventbus.contracts.difference import step

_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|\[\d*\]|\{\}|[^.\[\]{}"]+')


def split(path: str) -> tuple[str, ...]:
    """Return the names on a path, without the steps into lists: `lines[].sku` is (lines, sku), an entry of a map is {}."""
    found = []
    for part in _STEP.findall(path):
        if part.startswith("["):
            continue
        found.append(json.loads(part) if part.startswith('"') else part)
    return tuple(found)


def covers(read: tuple[str, ...], is_whole: bool, asked: tuple[str, ...]) -> bool:
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
