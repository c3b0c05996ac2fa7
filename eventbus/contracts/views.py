"""Views: whether what services read fits what owners promise, and who reads which field.

Each view is asked twice: by rule, schema against schema, and by trial: examples and edge values of the owner's contract go
through the codec and the view. A verdict shows the value that would break the handler, where one is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from eventbus.contracts.contract import Contract
from eventbus.contracts.schema import read_schema
from eventbus.contracts.subset import differences
from eventbus.contracts.values import edges, example
from eventbus.event import Event, event_info, event_topic
from eventbus.service import Service
from eventbus.wire.codec import MsgpackCodec, decode
from eventbus.wire.envelope import Envelope

_INTERNAL = ".receipts"


@dataclass(frozen=True, slots=True)
class View:
    """What one handler reads."""

    service: str
    channel: str
    handler: str
    event_type: type[Event]

    @property
    def name(self) -> str:
        """For messages: `fulfillment.ship`."""
        return f"{self.service}.{self.handler.rsplit('.', 1)[-1]}"

    def fields(self) -> set[str]:
        """Return the paths of all fields that the view has, as `lines[].quantity`."""
        return set(field_paths(read_schema(self.event_type)))


@dataclass(frozen=True, slots=True)
class Misfit:
    """One reason why a view does not fit.

    Attributes:
        reason: in words, with the field.
        counterexample: data that the owner may send and the view refuses, as JSON; None where none was found.
    """

    view: View
    contract: Contract | None
    reason: str
    counterexample: str | None = None

    def __str__(self) -> str:
        of = f"{self.contract.topic}: {self.contract.name}: " if self.contract is not None else ""
        shown = f"\n    for example, it cannot read {self.counterexample}" if self.counterexample else ""
        return f"{of}{self.reason}; this breaks {self.view.name}{shown}"


def views_of(services: Iterable[Service]) -> list[View]:
    """Return the views of all handlers, the bus's own left out."""
    return [
        View(service.name, service.channel, binding.name, binding.event_type)
        for service in services
        for binding in service.bindings
        if not binding.topic.endswith(_INTERNAL)
    ]


def check_views(views: Iterable[View], contracts: Iterable[Contract]) -> list[Misfit]:
    """Return why views do not fit the supported contracts of their events; empty when all do."""
    by_topic: dict[str, list[Contract]] = {}
    for contract in contracts:
        by_topic.setdefault(contract.topic, []).append(contract)
    return [misfit for view in views for misfit in _check(view, by_topic)]


def _check(view: View, by_topic: Mapping[str, list[Contract]]) -> Iterator[Misfit]:
    topic, name = event_topic(view.event_type), event_info(view.event_type).name
    there = by_topic.get(topic, [])
    if not there:
        yield Misfit(view, None, f"topic {topic!r} has no contract; its owner must publish one")
        return
    versions = [contract for contract in there if contract.type == name and contract.retired is None]
    if not versions:
        names = ", ".join(sorted({contract.type for contract in there if contract.retired is None})) or "nothing"
        yield Misfit(view, None, f"topic {topic!r} carries no {name!r} any more or never did; it carries {names}")
        return
    for contract in versions:
        yield from _check_version(view, contract)


def _check_version(view: View, contract: Contract) -> Iterator[Misfit]:
    found = differences(contract.schema, read_schema(view.event_type))
    refused = refusal(view.event_type, contract)
    shown = None if refused is None else refused[0]
    for each in found:
        yield Misfit(view, contract, str(each), shown)
    if refused is not None and not found:
        yield Misfit(view, contract, f"a value that the contract allows is refused: {refused[1]}", refused[0])


def refusal(event_type: type[Event], contract: Contract) -> tuple[str, str] | None:
    """Return the first value of the contract that `event_type` cannot read, as JSON, and why; None when it reads all."""
    encode, validate = MsgpackCodec().encode, event_type.__pydantic_validator__.validate_python
    for value in (*contract.examples, example(contract.schema), *edges(contract.schema)):
        envelope = Envelope(
            "018f0000-0000-7000-8000-000000000000", contract.owner, contract.type, "2026-01-31T12:00:00Z", value
        )
        data = decode(encode(envelope)).data
        try:
            validate(data, extra="ignore")
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in fault["loc"])
            return _shortened(value), f"field `{place}`: {fault['msg']}"
    return None


def impact(field: str, views: Iterable[View], contracts: Iterable[Contract]) -> tuple[list[str], list[str]]:
    """Return who reads `topic.field` (names of views), and which fields of that topic nobody reads.

    A field inside a list is written `lines[].quantity` or `lines.quantity`.
    """
    topic = max((c.topic for c in contracts if field == c.topic or field.startswith(f"{c.topic}.")), key=len, default="")
    path = _plain(field.removeprefix(topic).removeprefix("."))
    mine = [view for view in views if event_topic(view.event_type) == topic]
    readers = sorted({view.name for view in mine if not path or any(_covers(_plain(each), path) for each in view.fields())})
    read = {_plain(each) for view in mine for each in view.fields()}
    sent = {each for c in contracts if c.topic == topic and c.retired is None for each in field_paths(c.schema)}
    return readers, sorted(each for each in sent if _plain(each) not in read)


def _covers(read: str, asked: str) -> bool:
    return read == asked or read.startswith(f"{asked}.")


def _plain(path: str) -> str:
    return path.replace("[]", "")


def field_paths(schema: Mapping[str, Any]) -> list[str]:
    """Return the paths of all fields that a schema names; of a recursive one each field once."""
    definitions = schema.get("$defs", {})
    found: dict[str, None] = {}

    def walk(part: Any, path: str, seen: frozenset[str]) -> None:
        if not isinstance(part, Mapping):
            return
        if "$ref" in part:
            name = part["$ref"].rsplit("/", 1)[1]
            if name not in seen:
                walk(definitions[name], path, seen | {name})
            return
        for each in (*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ()), *part.get("prefixItems", ())):
            walk(each, path, seen)
        for name, each in part.get("properties", {}).items():
            inner = f"{path}.{name}" if path else name
            found[inner] = None
            walk(each, inner, seen)
        walk(part.get("items"), f"{path}[]", seen)
        walk(part.get("additionalProperties"), f"{path}{{}}", seen)

    walk(schema, "", frozenset())
    return list(found)


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:400] + "..."
