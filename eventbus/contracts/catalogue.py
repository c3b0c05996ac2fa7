"""Catalogue: static pages of all events, to be read without a network: what each carries, who owns it, who reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventbus.contracts.contract import Contract
from eventbus.contracts.paths import field_paths
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
        return f"{self.topic}.{self.type}.html"

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
    return [
        {"path": path, **_about(_find(contract.schema, path.replace("[]", "").split(".")), contract.schema)}
        for path in field_paths(contract.schema)
    ]


def _find(schema: Any, path: list[str]) -> Mapping[str, Any]:
    def step(part: Any, name: str) -> Any:
        for each in _unfolded(part, schema):
            if name in each.get("properties", {}):
                return each["properties"][name]
        return {}

    found: Any = schema
    for name in path:
        found = step(found, name.replace("{}", ""))
    return found if isinstance(found, Mapping) else {}


def _unfolded(part: Any, root: Mapping[str, Any], depth: int = 0) -> list[Mapping[str, Any]]:
    """Return the objects that a schema may mean, through references, unions and lists."""
    if not isinstance(part, Mapping) or depth > 8:
        return []
    if "$ref" in part:
        return _unfolded(root.get("$defs", {}).get(part["$ref"].rsplit("/", 1)[1]), root, depth + 1)
    inner = [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())]
    inner += [each for each in (part.get("items"), part.get("additionalProperties")) if isinstance(each, Mapping)]
    return [part, *(found for each in inner for found in _unfolded(each, root, depth + 1))]


def _about(part: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, str]:
    return {"type": _type(part, root), "description": str(part.get("description", ""))}


def _type(part: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "$ref" in part:
        return str(part["$ref"].rsplit("/", 1)[1])
    if "enum" in part:
        return "one of " + ", ".join(map(repr, part["enum"]))
    if "const" in part:
        return repr(part["const"])
    branches = part.get("anyOf") or part.get("oneOf")
    if branches:
        return " or ".join(dict.fromkeys(_type(each, root) for each in branches))
    kind = str(part.get("type", "anything"))
    if kind == "array" and isinstance(part.get("items"), Mapping):
        return f"list of {_type(part['items'], root)}"
    limits = [f"{word} {part[word]}" for word in ("minimum", "maximum", "minLength", "maxLength", "pattern") if word in part]
    named = " ".join(filter(None, (kind, str(part.get("format", "")))))
    return f"{named} ({', '.join(limits)})" if limits else named


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
