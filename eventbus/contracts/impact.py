"""Impact: who reads a field, and which fields nobody reads: what an owner asks before a change."""

from __future__ import annotations

from collections.abc import Iterable

from eventbus.contracts.contract import Contract
from eventbus.contracts.paths import covers, field_paths, read_paths, split
from eventbus.contracts.schema import read_schema
from eventbus.contracts.views import View
from eventbus.event import event_topic


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
    readers = sorted({name for name, paths in read.items() if not asked or any(covers(*each, asked) for each in paths)})
    every = [each for paths in read.values() for each in paths]
    sent = {each for c in known if c.topic == topic and c.retired is None for each in field_paths(c.schema)}
    return readers, sorted(each for each in sent if not any(covers(*path, split(each)) for path in every))
