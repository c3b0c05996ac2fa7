"""Contract: what an owner promises of one version of one event, as a JSON file that anybody can read.

`contracts/<topic>/<Type>.v<version>.json` is a JSON Schema (2020-12) of the event's data with examples; what a schema cannot
say stands under `x-eventbus`: owner, topic, type, version, whether it is deprecated, and when and why it was retired.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from eventbus.contracts.schema import DIALECT, written_schema
from eventbus.contracts.values import edges, example
from eventbus.errors import ContractError, InvalidNameError
from eventbus.event import Event, event_info, event_topic
from eventbus.names import check_name

_FILE = re.compile(r"(?P<type>.+)\.v(?P<version>[1-9][0-9]*)\.json")
_WORDS = ("title", "description", "examples")
_EXAMPLES = 3


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
    place: str = "code"

    @property
    def name(self) -> str:
        """For messages: `OrderPlaced v2`."""
        return f"{self.type} v{self.version}"

    @property
    def path(self) -> str:
        """Path of its file inside the folder of contracts."""
        return f"{self.topic}/{self.type}.v{self.version}.json"

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
            },
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def contract_of(event_type: type[Event], owner: str) -> Contract:
    """Return the contract that an owner's event class makes.

    Raises:
        ContractError: pydantic cannot describe a field, or no example could be made.
    """
    info = event_info(event_type)
    try:
        schema = dict(written_schema(event_type))
    except Exception as error:  # pydantic's errors about schemas are not one family
        raise ContractError(f"{info.name}: no JSON Schema can be made of it: {error}") from error
    is_deprecated = bool(schema.pop("deprecated", False))  # @warnings.deprecated, or model_config
    schema["title"] = info.name
    schema["description"] = inspect.getdoc(event_type) or info.name
    return Contract(
        owner=owner,
        topic=event_topic(event_type),
        type=info.name,
        version=info.version,
        schema=schema,
        examples=tuple(_examples(event_type, schema)),
        is_deprecated=is_deprecated,
    )


def _examples(event_type: type[Event], schema: Mapping[str, Any]) -> list[Any]:
    made: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the class itself: its contract says so too
        _collect(event_type, schema, made)
    if not made:
        raise ContractError(
            f"{event_type.__name__}: no example could be made that the class accepts; give its fields Field(examples=[...])"
        )
    return made


def _collect(event_type: type[Event], schema: Mapping[str, Any], made: list[Any]) -> None:
    validate = event_type.__pydantic_validator__.validate_python
    for value in (example(schema), *edges(schema, most=50)):
        if value in made:
            continue
        try:
            validate(value)
        except ValueError:  # a rule that no schema can say, such as a validator of the class
            continue
        made.append(value)
        if len(made) == _EXAMPLES:
            return


def read_contract(text: str, place: str) -> Contract:
    """Return the contract in a file's text; `place` names the file in messages.

    Raises:
        ContractError: it is none; says where and why.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{place}: no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ContractError(f"{place}: no JSON object")
    if document.get("$schema") != DIALECT:
        raise ContractError(f"{place}: $schema is {document.get('$schema')!r}; contracts are written in {DIALECT}")
    about = document.get("x-eventbus")
    if not isinstance(about, dict):
        raise ContractError(f"{place}: x-eventbus is missing: no contract of this library")
    try:
        topic, type_name, version = about["topic"], about["type"], about["version"]
        check_name(topic, kind="topic")
        retired = about.get("retired")
        contract = Contract(
            owner=_text(about["owner"]),
            topic=topic,
            type=_text(type_name),
            version=version,
            schema={name: value for name, value in document.items() if name not in ("$schema", "examples", "x-eventbus")},
            examples=tuple(document.get("examples", ())),
            is_deprecated=bool(about.get("deprecated", False)),
            retired=None if retired is None else Retirement(_text(retired["on"]), _text(retired["reason"])),
            place=place,
        )
    except KeyError as error:
        raise ContractError(f"{place}: x-eventbus.{error.args[0]} is missing") from None
    except (TypeError, ValueError, InvalidNameError) as error:
        raise ContractError(f"{place}: x-eventbus: {error}") from None
    if type(version) is not int or version < 1:
        raise ContractError(f"{place}: x-eventbus.version is {version!r}; give a whole number, 1 or more")
    if not contract.examples:
        raise ContractError(f"{place}: examples are missing; at least one valid example is needed")
    _check_references(contract.schema, contract.schema.get("$defs", {}), place, "")
    return contract


def renewed(published: Contract, code: Contract) -> Contract:
    """Return the published contract with the words of the code; what was retired stays so."""
    return replace(code, retired=published.retired, is_deprecated=code.is_deprecated or published.is_deprecated)


def _check_references(part: Any, definitions: Any, place: str, path: str) -> None:
    if isinstance(part, dict):
        target = part.get("$ref")
        if target is not None and (
            not isinstance(target, str)
            or not target.startswith("#/$defs/")
            or target.removeprefix("#/$defs/") not in definitions
        ):
            raise ContractError(f"{place}: {path or 'schema'}: $ref {target!r} leads nowhere inside this file")
        for name, each in part.items():
            _check_references(each, definitions, place, f"{path}/{name}")
    elif isinstance(part, list):
        for number, each in enumerate(part):
            _check_references(each, definitions, place, f"{path}/{number}")


def _without_words(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {
            name: (
                {field: _without_words(each) for field, each in value.items()}
                if name in ("properties", "$defs") and isinstance(value, Mapping)
                else sorted(value)
                if name == "required"
                else _without_words(value)
            )
            for name, value in part.items()
            if name not in _WORDS
        }
    if isinstance(part, list):
        return [_without_words(each) for each in part]
    return part


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no text")
    return value
