"""Contract: what an owner promises of one version of one event, as a JSON file that anybody can read.

`contracts/<topic>/<Type>.v<version>.json` is a JSON Schema (2020-12) of the event's data with examples; what a schema cannot
say stands under `x-eventbus`: owner, topic, type, version, whether it is deprecated, and when and why it was retired.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from eventbus.contracts.dialect import DIALECT, MADE, is_remark, mapped
from eventbus.contracts.schema import written_schema
from eventbus.contracts.trial import ask_owner
from eventbus.errors import ContractError
from eventbus.event import Event, event_info, event_topic

_NO_FILE = frozenset('/\\%?#:*"<>|')


@dataclass(frozen=True, slots=True)
class Retirement:
    """That a version is sent no more, and need not be read any more."""

    on: str
    """Date, as 2026-01-31."""
    reason: str


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of one event.

    Attributes:
        schema: JSON Schema of the data that the owner writes.
        examples: valid data, at least one.
        trials: data that the owner's class accepts, where it has rules that the schema does not say; else None.
        place: where it was read from, for messages.
    """

    owner: str
    topic: str
    type: str
    version: int
    schema: Mapping[str, Any]
    examples: tuple[Any, ...]
    is_deprecated: bool = False
    retired: Retirement | None = None
    trials: tuple[Any, ...] | None = None
    place: str = "code"

    @property
    def name(self) -> str:
        """For messages: `OrderPlaced v2`."""
        return f"{self.type} v{self.version}"

    @property
    def path(self) -> str:
        """Path of its file inside the folder of contracts."""
        return f"{self.topic}/{file_name(self.type)}.v{self.version}.json"

    def shape(self) -> Any:
        """Return what may never change once it is published: the schema without its words."""
        return _without_words(self.schema)

    def to_json(self) -> str:
        """Return the file's text; the same for the same contract, byte for byte."""
        document: dict[str, Any] = {
            "$schema": DIALECT,
            **{name: value for name, value in self.schema.items() if name != "$schema"},
            "examples": list(self.examples),
            "x-eventbus": {
                "owner": self.owner,
                "topic": self.topic,
                "type": self.type,
                "version": self.version,
                "deprecated": self.is_deprecated,
                "retired": None if self.retired is None else {"on": self.retired.on, "reason": self.retired.reason},
                **({} if self.trials is None else {"trials": list(self.trials)}),
            },
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def contract_of(event_type: type[Event], owner: str) -> Contract:
    """Return the contract that an owner's event class makes.

    Raises:
        ContractError: pydantic cannot describe a field, no example could be made, or what the class sends is not what it
            reads or not what its schema says; names the field and what to write instead.
    """
    info = event_info(event_type)
    schema = _schema_of(event_type)
    is_deprecated = bool(schema.pop("deprecated", False))  # @warnings.deprecated, or model_config
    schema["title"] = info.name
    schema["description"] = inspect.getdoc(event_type) or info.name
    asked = ask_owner(event_type, schema)
    return Contract(
        owner=owner,
        topic=event_topic(event_type),
        type=info.name,
        version=info.version,
        schema=schema,
        examples=asked.examples,
        is_deprecated=is_deprecated,
        trials=asked.trials,
    )


def _schema_of(event_type: type[Event]) -> dict[str, Any]:
    try:
        return dict(written_schema(event_type))
    except Exception as error:  # pydantic's errors about schemas are not one family
        raise ContractError(f"{event_info(event_type).name}: no JSON Schema can be made of it: {error}") from error


def shape_of(event_type: type[Event]) -> Any:
    """Return the shape that the contract of an event class has, without making it.

    Raises:
        ContractError: pydantic cannot describe a field.
    """
    schema = _schema_of(event_type)
    schema.pop("deprecated", None)
    return _without_words(schema)


def renewed(published: Contract, code: Contract) -> Contract:
    """Return the published contract with the words of the code; what was retired stays so."""
    return replace(code, retired=published.retired, is_deprecated=code.is_deprecated or published.is_deprecated)


def file_name(text: str) -> str:
    """Return a name as a part of a path: what would lead elsewhere or cannot stand in a file's name is percent-encoded."""
    return "".join(each if each not in _NO_FILE and each.isprintable() else quote(each, safe="") for each in text)


def _without_words(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    made = {
        word: sorted(value) if word == "required" else value
        for word, value in mapped(schema, _without_words).items()
        if word in ("default", MADE, "$defs") or not is_remark(word)
    }
    if made.get("required") == []:
        del made["required"]
    return made
