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

from eventbus.contracts.contract import Contract, shape_of
from eventbus.contracts.paths import field_paths
from eventbus.contracts.schema import read_schema
from eventbus.contracts.subset import differences
from eventbus.contracts.values import trial_count, trial_values
from eventbus.errors import ContractError, DecodeError, EncodeError
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
    found = [] if _is_same(view.event_type, contract) else differences(contract.schema, read_schema(view.event_type))
    refused = refusal(view.event_type, contract)
    shown = None if refused is None else refused[0]
    for each in found:
        yield Misfit(view, contract, str(each), shown)
    if refused is not None and not found:
        yield Misfit(view, contract, f"a value that the contract allows is refused: {refused[1]}", refused[0])


def trials_of(view: View, contracts: Iterable[Contract]) -> dict[str, tuple[int, int]]:
    """Return with how many values of how many a view is tried, for each supported version of its event, by name."""
    topic, name = event_topic(view.event_type), event_info(view.event_type).name
    return {
        each.name: trial_count(each)
        for each in contracts
        if (each.topic, each.type) == (topic, name) and each.retired is None
    }


def _is_same(event_type: type[Event], contract: Contract) -> bool:
    """Whether the view is the owner's class, as published: its owner was asked whether it reads what it sends."""
    info = event_info(event_type)
    if not info.is_owned or info.version != contract.version:
        return False
    try:
        return bool(shape_of(event_type) == contract.shape())
    except ContractError:
        return False


def refusal(event_type: type[Event], contract: Contract) -> tuple[str, str] | None:
    """Return the first value of the contract that `event_type` cannot read, as JSON, and why; None when it reads all."""
    encode, validate = MsgpackCodec().encode, event_type.__pydantic_validator__.validate_python
    for value in trial_values(contract)[0]:
        envelope = Envelope(
            "018f0000-0000-7000-8000-000000000000", contract.owner, contract.type, "2026-01-31T12:00:00Z", value
        )
        try:
            data = decode(encode(envelope)).data
        except (DecodeError, EncodeError):
            continue  # larger or deeper than anything that is sent
        try:
            validate(data, extra="ignore")
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in fault["loc"])
            return _shortened(value), f"field `{place}`: {fault['msg']}"
        except Exception as error:  # a validator of the view that has not thought of the value
            return _shortened(value), f"{type(error).__name__}: {error}"
    return None


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:400] + "..."
