"""Words: what a field of a schema is, for people: type with values, variants and bounds, default, description."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from eventbus.contracts.dialect import BYTES, DECIMAL, MADE, TIME, URL, target
from eventbus.contracts.paths import split
from eventbus.wire.personal import KEYWORD


def described(schema: Mapping[str, Any], path: str) -> dict[str, str]:
    """Return type, description, default, and whether it is deprecated or personal, of a field: words, empty for none."""
    return _about(_find(schema, split(path)), schema)


def _find(schema: Mapping[str, Any], path: Sequence[str]) -> list[Any]:
    """Return what a path may mean: a field that several variants of a union have is found in each."""
    found: list[Any] = [schema]
    for name in path:
        inner: list[Any] = []
        for part in found:
            for each in _unfolded(part, schema):
                if name == "{}" and isinstance(each.get("additionalProperties"), Mapping):
                    inner.append(each["additionalProperties"])
                elif name in each.get("properties", {}):
                    inner.append(each["properties"][name])
        found = inner
    return found


def _unfolded(part: Any, root: Mapping[str, Any], depth: int = 0) -> list[Mapping[str, Any]]:
    """Return the objects that a schema may mean, through references, unions and lists."""
    if not isinstance(part, Mapping) or depth > 8:
        return []
    if "$ref" in part:
        return _unfolded(target(part["$ref"], root), root, depth + 1)
    inner = [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ()), *part.get("prefixItems", ())]
    inner += [each for each in (part.get("items"),) if isinstance(each, Mapping)]
    return [part, *(found for each in inner for found in _unfolded(each, root, depth + 1))]


def _about(parts: Sequence[Any], root: Mapping[str, Any]) -> dict[str, str]:
    maps = [each for each in parts if isinstance(each, Mapping)]
    defaults = [json.dumps(each["default"], ensure_ascii=False) for each in maps if "default" in each]
    defaults += ["made anew" for each in maps if MADE in each]
    return {
        "type": " or ".join(dict.fromkeys(_type(each, root) for each in parts)),
        "description": next((str(each["description"]) for each in maps if "description" in each), ""),
        "default": next(iter(defaults), ""),
        "deprecated": "deprecated" if any(each.get("deprecated") for each in maps) else "",
        "personal": "personal" if any(each.get(KEYWORD) for each in maps) else "",
    }


_LIMITS = {
    **{"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"},
    **{"multipleOf": "multiples of", "minLength": "at least", "maxLength": "at most", "minItems": "at least"},
    **{"maxItems": "at most", "minProperties": "at least", "maxProperties": "at most", "pattern": "pattern"},
    **{"maxDigits": "", "decimalPlaces": "", "relative": "in the", "schemes": "schemes"},
}
_UNITS = {
    **{"Length": ("character", "characters"), "Items": ("item", "items"), "Properties": ("entry", "entries")},
    **{"Digits": ("digit", "digits"), "Places": ("decimal place", "decimal places")},
}


def _limits(part: Mapping[str, Any]) -> str:
    found = []
    for word in _LIMITS.keys() & part.keys():
        value = ", ".join(part[word]) if isinstance(part[word], list) else str(part[word])
        units = next((pair for end, pair in _UNITS.items() if word.endswith(end)), None)
        unit = "" if units is None else f" {units[0] if value == '1' else units[1]}"
        found.append((list(_LIMITS).index(word), f"{_LIMITS[word]} {value}{unit}".strip()))
    for keyword in (DECIMAL, TIME, URL):
        if keyword in part and (text := _limits(part[keyword])):
            found.append((100, text))
    if BYTES in part:
        found.append((101, _limits(part[BYTES]).replace("character", "byte")))
    return ", ".join(text for _, text in sorted(found))


def _type(part: Any, root: Mapping[str, Any], depth: int = 0) -> str:
    if not isinstance(part, Mapping):
        return "anything"
    if "$ref" in part:
        meant = target(part["$ref"], root)
        named = str(part["$ref"].rsplit("/", 1)[1])
        if not isinstance(meant, Mapping):
            return named
        if "enum" in meant or "const" in meant:
            return f"{named}: {_type(meant, root, depth + 1)}"
        tags = [f"{name} {each['const']!r}" for name, each in meant.get("properties", {}).items() if _is_constant(each)]
        return f"{named} ({', '.join(tags)})" if tags else named
    if "enum" in part:
        return "one of " + ", ".join(map(repr, part["enum"]))
    if "const" in part:
        return repr(part["const"])
    branches = part.get("anyOf") or part.get("oneOf")
    if branches and depth < 8:
        return " or ".join(dict.fromkeys(_type(each, root, depth + 1) for each in branches))
    kind = str(part.get("type", "anything"))
    if kind == "array" and part.get("prefixItems") and depth < 8:
        kind = f"list of, in turn, {', '.join(_type(each, root, depth + 1) for each in part['prefixItems'])}"
        return kind
    if kind == "array" and isinstance(part.get("items"), Mapping) and depth < 8:
        kind = f"list of {_type(part['items'], root, depth + 1)}"
    elif kind == "object" and isinstance(part.get("additionalProperties"), Mapping) and depth < 8:
        kind = f"map of {_type(part['additionalProperties'], root, depth + 1)}"
    limits = _limits(part)
    named = " ".join(filter(None, (kind, str(part.get("format", "")))))
    return f"{named} ({limits})" if limits else named


def _is_constant(schema: Any) -> bool:
    return isinstance(schema, Mapping) and "const" in schema
