"""Catalogue: static pages of all events, to be read without a network: what each carries, who owns it, who reads it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eventbus.contracts.changes import changes
from eventbus.contracts.contract import Contract, file_name
from eventbus.contracts.paths import covers, field_paths, read_paths, split
from eventbus.contracts.picture import Picture, draw, subscriber
from eventbus.contracts.schema import read_schema
from eventbus.contracts.views import View
from eventbus.contracts.words import described
from eventbus.errors import ContractError
from eventbus.event import event_info, event_topic

_SCRIPT = (Path(__file__).parent / "pages" / "search.js").read_text("utf-8")
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
"""The one script of the pages, which finds events: the policy of the pages lets this text run and no other."""


@dataclass(frozen=True, slots=True)
class _Event:
    topic: str
    type: str
    versions: Sequence[Contract]
    readers: Sequence[View]

    @property
    def file(self) -> str:
        # topic and type may both have dots: `a.b` with `c` is another event than `a` with `b.c`
        return f"{file_name(self.topic)}{'..' if '.' in self.type else '.'}{file_name(self.type)}.html"

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

    @property
    def words(self) -> str:
        """What the search looks at."""
        fields = {path for each in self.versions for path in field_paths(each.schema)}
        return " ".join([self.type, self.topic, self.owner, *sorted(fields), *(view.name for view in self.readers)]).lower()


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
    pages.globals.update(fields=_fields, history=_history, title=title, script=_SCRIPT, script_hash=_SCRIPT_HASH)
    events = _events(list(contracts), list(views))
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "index.html"]
    written[0].write_text(
        pages.get_template("index.html").render(events=events, picture=_picture(events), services=_services(events)), "utf-8"
    )
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


def _picture(events: Sequence[_Event]) -> Picture:
    return draw(
        [(event.owner, event.topic) for event in events],
        [(event.topic, subscriber(view)) for event in events for view in event.readers],
        {event.topic: event.link for event in reversed(events)},
        "index.html",
    )


def _services(events: Sequence[_Event]) -> dict[str, dict[str, Any]]:
    """Return what each owner publishes and each subscriber reads, with the anchors to which the picture leads."""
    owners = {event.owner for event in events}
    readers = {subscriber(view) for event in events for view in event.readers}
    return {
        name: {
            "anchor": f"owner-{name}" if name in owners else f"reader-{name}",
            "also": f"reader-{name}" if name in owners & readers else "",
            "sends": [event for event in events if event.owner == name],
            "reads": [event for event in events if any(subscriber(view) == name for view in event.readers)],
        }
        for name in sorted(owners | readers)
    }


def _fields(event: _Event, contract: Contract) -> list[dict[str, Any]]:
    """Return a row for each field: what it is, since which version it is there, and who reads it."""
    earlier = [set(field_paths(each.schema)) for each in event.versions if each.version <= contract.version]
    numbers = [each.version for each in event.versions if each.version <= contract.version]
    read = {view.name: read_paths(read_schema(view.event_type)) for view in event.readers}
    rows = []
    for path in field_paths(contract.schema):
        since = contract.version
        for number, paths in zip(reversed(numbers), reversed(earlier), strict=True):
            if path not in paths:
                break
            since = number
        asked = split(path)
        rows.append(
            {
                "path": path,
                "anchor": f"v{contract.version}.{path}",
                "since": f"since v{since}" if since > event.versions[0].version else "",
                "readers": sorted(name for name, paths in read.items() if any(covers(*each, asked) for each in paths)),
                **described(contract.schema, path),
            }
        )
    return rows


def _history(event: _Event, contract: Contract) -> list[str]:
    """Return what changed since the version before, a change on each line; nothing for the first."""
    older = [each for each in event.versions if each.version < contract.version]
    if not older:
        return []
    found = changes(older[-1], contract)
    return [each for each in found.lines()[1:] if each.startswith(("+ ", "- ", "~ "))] or ["no field changed"]
