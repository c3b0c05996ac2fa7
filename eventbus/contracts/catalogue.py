"""Catalogue: static pages of all events, to be read without a network: what each carries, who owns it, who reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eventbus.contracts.contract import Contract, file_name
from eventbus.contracts.dialect import BYTES, DECIMAL, TIME, URL, target
from eventbus.contracts.paths import field_paths, split
from eventbus.contracts.views import View
from eventbus.errors import ContractError
from eventbus.event import event_info, event_topic


@dataclass(frozen=True, slots=True)
class _Event:
    topic: str
    type: str
    versions: Sequence[Contract]
    readers: Sequence[View]

    @property
    def file(self) -> str:
        return f"{file_name(self.topic)}.{file_name(self.type)}.html"

    @property
    def link(self) -> str:
        """What leads to the page: its file's name as a part of an address."""
        return quote(self.file)

    @property
    def owner(self) -> str:
        return self.versions[-1].owner

    @property
    def description(self) -> str:
        return str(self.versions[-1].schema.get("description", ""))


def write_catalogue(folder: Path, contracts: Iterable[Contract], views: Iterable[View], *, title: str) -> list[Path]:
    """Write the pages into `folder` and return their paths; `index.html` is the first.

    Raises:
        ContractError: the extra for pages is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
    except ImportError:
        raise ContractError("the catalogue needs an extra: pip install 'eventbus[contracts]'") from None
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True)
    pages.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    pages.globals.update(fields=_fields, title=title)
    events = _events(list(contracts), list(views))
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "index.html"]
    written[0].write_text(pages.get_template("index.html").render(events=events, picture=_picture(events)), "utf-8")
    for event in events:
        written.append(folder / event.file)
        written[-1].write_text(pages.get_template("event.html").render(event=event), "utf-8")
    return written


def _events(contracts: list[Contract], views: list[View]) -> list[_Event]:
    keys = sorted({(contract.topic, contract.type) for contract in contracts})
    return [
        _Event(
            topic,
            name,
            sorted((c for c in contracts if (c.topic, c.type) == (topic, name)), key=lambda c: c.version),
            [v for v in views if (event_topic(v.event_type), event_info(v.event_type).name) == (topic, name)],
        )
        for topic, name in keys
    ]


def _fields(contract: Contract) -> list[dict[str, str]]:
    return [{"path": path, **described(contract.schema, path)} for path in field_paths(contract.schema)]


def described(schema: Mapping[str, Any], path: str) -> dict[str, str]:
    """Return `type` and `description` of a field, in words."""
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
    described = next((str(each["description"]) for each in parts if isinstance(each, Mapping) and "description" in each), "")
    types = " or ".join(dict.fromkeys(_type(each, root) for each in parts))
    deprecated = any(isinstance(each, Mapping) and each.get("deprecated") for each in parts)
    return {"type": types + (" (deprecated)" if deprecated else ""), "description": described}


_LIMITS = {
    **{"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"},
    **{"multipleOf": "multiples of", "minLength": "at least", "maxLength": "at most", "minItems": "at least"},
    **{"maxItems": "at most", "minProperties": "at least", "maxProperties": "at most", "pattern": "pattern"},
    **{"maxDigits": "digits", "decimalPlaces": "decimal places", "relative": "in the", "schemes": "schemes"},
}
_UNITS = {"Length": " characters", "Items": " items", "Properties": " entries"}


def _limits(part: Mapping[str, Any]) -> str:
    found = []
    for word in _LIMITS.keys() & part.keys():
        unit = next((text for end, text in _UNITS.items() if word.endswith(end)), "")
        value = ", ".join(part[word]) if isinstance(part[word], list) else part[word]
        found.append((list(_LIMITS).index(word), f"{_LIMITS[word]} {value}{unit}"))
    for keyword in (DECIMAL, TIME, URL):
        if keyword in part and (text := _limits(part[keyword])):
            found.append((100, text))
    if BYTES in part:
        found.append((101, _limits(part[BYTES]).replace("characters", "bytes")))
    return ", ".join(text for _, text in sorted(found))


def _type(part: Any, root: Mapping[str, Any], depth: int = 0) -> str:
    if not isinstance(part, Mapping):
        return "anything"
    if "$ref" in part:
        meant = target(part["$ref"], root)
        named = str(part["$ref"].rsplit("/", 1)[1])
        return f"{named}: {_type(meant, root, depth + 1)}" if isinstance(meant, Mapping) and "enum" in meant else named
    if "enum" in part:
        return "one of " + ", ".join(map(repr, part["enum"]))
    if "const" in part:
        return repr(part["const"])
    branches = part.get("anyOf") or part.get("oneOf")
    if branches and depth < 8:
        return " or ".join(dict.fromkeys(_type(each, root, depth + 1) for each in branches))
    kind = str(part.get("type", "anything"))
    if kind == "array" and isinstance(part.get("items"), Mapping) and depth < 8:
        kind = f"list of {_type(part['items'], root, depth + 1)}"
    elif kind == "object" and isinstance(part.get("additionalProperties"), Mapping) and depth < 8:
        kind = f"map of {_type(part['additionalProperties'], root, depth + 1)}"
    limits = _limits(part)
    named = " ".join(filter(None, (kind, str(part.get("format", "")))))
    return f"{named} ({limits})" if limits else named


def _subscriber(view: View) -> str:
    return view.service if view.channel == view.service else f"{view.service}: {view.channel}"


def _picture(events: Sequence[_Event]) -> dict[str, Any]:
    """Return boxes in three columns, owners, topics and subscribers, and the lines between them."""
    columns = (
        sorted({event.owner for event in events}),
        sorted({event.topic for event in events}),
        sorted({_subscriber(view) for event in events for view in event.readers}),
    )
    height = max(map(len, columns), default=0) * 46 + 20
    places: dict[tuple[int, str], tuple[int, int]] = {}
    for number, names in enumerate(columns):
        gap = height / (len(names) + 1)
        for row, name in enumerate(names, 1):
            places[number, name] = (10 + number * 320, int(row * gap) - 15)
    lines = set()
    for event in events:
        owner, topic = places[0, event.owner], places[1, event.topic]
        lines.add((owner[0] + 240, owner[1] + 15, topic[0], topic[1] + 15))
        for view in event.readers:
            reader = places[2, _subscriber(view)]
            lines.add((topic[0] + 240, topic[1] + 15, reader[0], reader[1] + 15))
    boxes = [{"x": x, "y": y, "text": name} for (_, name), (x, y) in places.items()]
    return {"height": height, "boxes": boxes, "lines": sorted(lines)}
