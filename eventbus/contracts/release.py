"""Release: what one release of one service publishes and reads, as a record that outlives its code.

A record is asked when another release wants to go out: the classes of what runs are not at hand then. So it holds the
schema of each view. What a view's class refuses beyond its schema (a validator) only the class knows; so for such a view the
record names the contracts that the class has read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventbus.contracts.contract import Contract
from eventbus.contracts.dialect import NAMES
from eventbus.contracts.evolution import refused_value
from eventbus.contracts.reading import check_schema, read_contract
from eventbus.contracts.schema import read_schema
from eventbus.contracts.subset import differences
from eventbus.contracts.views import View, refusal
from eventbus.errors import ContractError, InvalidNameError
from eventbus.event import Event, event_info, event_topic
from eventbus.names import check_name
from eventbus.wire.writing import Tree

UNPROVED = "is read by a rule that only the class of the view knows, and the class has not been tried with it yet"
"""Why a view is not said to read a contract, where nothing else is against it."""
_LONGEST_NAME = 100
"""Characters of a release's name."""
_LIBRARIES = ("pydantic", "pydantic_core", "eventbus", "annotated_types")


@dataclass(frozen=True, slots=True)
class Reader:
    """What one handler reads.

    Attributes:
        schema: JSON Schema of what it takes.
        has_rules: its class has rules that no schema says.
        proved: fingerprints of contracts that its class has read; asked where it has such rules.
        view: the view itself, where its class is at hand.
    """

    service: str
    channel: str
    handler: str
    topic: str
    type: str
    schema: Mapping[str, Any]
    has_rules: bool = False
    proved: frozenset[str] = frozenset()
    view: View | None = None

    @property
    def name(self) -> str:
        """For messages: `fulfillment.ship`."""
        return f"{self.service}.{self.handler.rsplit('.', 1)[-1]}"

    def refuses(self, contract: Contract, known: Iterable[Contract] = ()) -> list[tuple[str, str | None]]:
        """Return why it may not read what a contract allows, each with a value that is refused, or None.

        Args:
            known: further contracts, among them those that `proved` names.
        """
        found = differences(contract.schema, self.schema)
        if self.view is not None:
            refused = refusal(self.view.event_type, contract)
        else:
            refused = refused_value(contract, self.schema)
        shown = None if refused is None else refused[0]
        if found:
            return [(str(each), shown) for each in found]
        if refused is not None:
            return [(f"a value that the contract allows is refused: {refused[1]}", shown)]
        if self.view is None and self.has_rules and not self._is_proved(contract, known):
            return [(UNPROVED, None)]
        return []

    def _is_proved(self, contract: Contract, known: Iterable[Contract]) -> bool:
        return fingerprint(contract) in self.proved or any(
            fingerprint(each) in self.proved
            and each.trials is None  # of an owner with rules of its own it was asked for less than the schema says
            and not differences(contract.schema, _part(each.schema, self.schema))
            for each in known
        )


@dataclass(frozen=True, slots=True)
class Release:
    """One release of one service.

    Attributes:
        name: as 1.4.0, or whatever tells releases apart.
        publishes: the contracts of what it sends.
        reads: its views.
        parks: topics on which it parks events that none of its handlers takes.
        waiting: contracts of releases before it, of which something may still lie in queues, outboxes and dead letters.

    Raises:
        ContractError: the name could not stand in a line of an answer.
    """

    service: str
    name: str
    publishes: Sequence[Contract] = ()
    reads: Sequence[Reader] = ()
    parks: frozenset[str] = frozenset()
    waiting: Sequence[Contract] = ()

    def __post_init__(self) -> None:
        if not (0 < len(self.name) <= _LONGEST_NAME and self.name.isprintable() and self.name == self.name.strip()):
            raise ContractError(
                f"{self.service}: a release's name is 1 to {_LONGEST_NAME} printable characters without blanks around them, "
                f"such as 1.4.0; not {self.name[:_LONGEST_NAME]!r}"
            )

    def __str__(self) -> str:
        return f"{self.service} {self.name}"

    def to_json(self) -> str:
        """Return the record's text; the same for the same release, byte for byte."""
        document = {
            "service": self.service,
            "release": self.name,
            "publishes": [json.loads(each.to_json()) for each in _sorted(self.publishes)],
            "waiting": [json.loads(each.to_json()) for each in _sorted(self.waiting)],
            "parks": sorted(self.parks),
            "reads": [
                {
                    "channel": each.channel,
                    "handler": each.handler,
                    "topic": each.topic,
                    "type": each.type,
                    "has_rules": each.has_rules,
                    "proved": sorted(each.proved),
                    "schema": each.schema,
                }
                for each in self.reads
            ],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def reader_of(view: View, known: Iterable[Contract] = ()) -> Reader:
    """Return what a handler reads; `known` are contracts that its class is tried with, where it has rules of its own."""
    kind = view.event_type
    topic, name = event_topic(kind), event_info(kind).name
    has_rules = _has_rules(kind)
    mine = [each for each in known if (each.topic, each.type) == (topic, name)] if has_rules else []
    return Reader(
        service=view.service,
        channel=view.channel,
        handler=view.handler,
        topic=topic,
        type=name,
        schema=read_schema(kind),
        has_rules=has_rules,
        proved=frozenset(fingerprint(each) for each in mine if refusal(kind, each) is None),
        view=view,
    )


def read_release(text: str, place: str) -> Release:
    """Return the release in a record's text; `place` names the record in messages.

    Raises:
        ContractError: it is none; says where and why.
    """
    try:
        document = json.loads(text)
        service = check_name(document["service"], kind="channel")
        reads = [_read_reader(each, service, f"{place}: reads[{number}]") for number, each in enumerate(document["reads"])]
        return Release(
            service=service,
            name=_text(document["release"]),
            publishes=_read_contracts(document, "publishes", place),
            waiting=_read_contracts(document, "waiting", place),
            parks=frozenset(map(_text, document["parks"])),
            reads=reads,
        )
    except KeyError as error:
        raise ContractError(f"{place}: {error.args[0]} is missing; eventbus contracts record writes it") from None
    except ContractError as error:
        raise error if place in str(error) else ContractError(f"{place}: {error}") from None
    except (ValueError, TypeError, RecursionError, InvalidNameError) as error:
        raise ContractError(f"{place}: is no record of a release: {error}") from None


def fingerprint(contract: Contract) -> str:
    """Return what tells one version of an event from all others: of its place and its shape."""
    about = [contract.topic, contract.type, contract.version, contract.shape(), contract.trials]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def release_name(publishes: Iterable[Contract], reads: Iterable[Reader]) -> str:
    """Return a name made of what a release publishes and reads, for who gives it none."""
    about = [sorted(map(fingerprint, publishes)), sorted(json.dumps([each.name, each.schema]) for each in reads)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]


def _part(schema: Mapping[str, Any], read: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a schema says of the fields that are read: the others may change."""
    fields = read.get("properties", {})
    if not fields or any(isinstance(each, Mapping) and NAMES in each for each in fields.values()):
        return schema
    kept = {name: each for name, each in schema.get("properties", {}).items() if name in fields}
    return {**schema, "properties": kept, "required": [each for each in schema.get("required", ()) if each in fields]}


def _read_contracts(document: Mapping[str, Any], key: str, place: str) -> list[Contract]:
    return [read_contract(json.dumps(each), f"{place}: {key}[{number}]") for number, each in enumerate(document[key])]


def _read_reader(document: Mapping[str, Any], service: str, place: str) -> Reader:
    check_schema(document["schema"], place)
    return Reader(
        service=service,
        channel=_text(document["channel"]),
        handler=_text(document["handler"]),
        topic=_text(document["topic"]),
        type=_text(document["type"]),
        schema=document["schema"],
        has_rules=bool(document["has_rules"]),
        proved=frozenset(map(_text, document["proved"])),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _sorted(contracts: Iterable[Contract]) -> list[Contract]:
    return sorted(contracts, key=lambda each: (each.path, fingerprint(each)))


def _has_rules(event_type: type[Event]) -> bool:
    """Whether the class asks functions of its users when it reads."""
    tree = Tree(event_type.__pydantic_core_schema__)
    return any(
        str(node.get("type", "")).startswith("function-") and not _is_of_library(node.get("function"))
        for node in tree.below(tree.root)
    )


def _is_of_library(given: Any) -> bool:
    function = given.get("function") if isinstance(given, Mapping) else given
    function = getattr(function, "func", function)  # of a partial
    module = getattr(function, "__module__", None) or ""
    return module.split(".")[0] in _LIBRARIES
