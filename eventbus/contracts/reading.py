"""Reading: the file of a contract becomes a contract, once all of its schema is known to be what is compared.

A keyword that the comparison does not know would be passed over, and the verdict would be wrong; so each is refused here,
with its place. Unknown `x-` keywords and `$comment` are remarks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from eventbus.contracts.conform import Conformance
from eventbus.contracts.contract import Contract, Retirement
from eventbus.contracts.dialect import (
    BYTES,
    COMPARED,
    DECIMAL,
    DIALECT,
    LONGEST,
    MADE,
    NAMES,
    REMARKS,
    TEXT,
    TIME,
    URL,
    inner,
    is_remark,
    target,
)
from eventbus.contracts.formats import PARSERS, instant
from eventbus.errors import ContractError, InvalidNameError
from eventbus.names import check_name

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_DEEPEST = 64
_MOST = 131_072
"""Items that a reader takes in one array: a schema that needs more says nothing that could be sent."""


def read_contract(text: str, place: str) -> Contract:
    """Return the contract in a file's text; `place` names the file in messages.

    Raises:
        ContractError: it is none; says where and why.
    """
    try:
        document = json.loads(text)
        json.dumps(document, allow_nan=False)
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
            examples=tuple(_listed(document.get("examples", []))),
            is_deprecated=bool(about.get("deprecated", False)),
            trials=None if about.get("trials") is None else tuple(_listed(about["trials"])),
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
    check_schema(contract.schema, place)
    conformance = Conformance(contract.schema)
    for number, value in enumerate((*contract.examples, *(contract.trials or ()))):
        fault = next(conformance.faults(contract.schema, value), None)
        if fault is not None:
            raise ContractError(
                f"{place}: example {number + 1} is not what the schema says: field {fault[0] or 'data'} {fault[1]}"
            )
    return contract


def check_schema(schema: Any, place: str) -> None:
    """Make sure that a schema is made of what can be compared.

    Raises:
        ContractError: it is not; names the place inside of the schema.
    """
    waiting: list[tuple[str, Any, int, int]] = [("", schema, 0, 1)]
    references: dict[str, str] = {}
    while waiting:
        path, part, depth, count = waiting.pop()
        where = f"{place}: {path or 'schema'}"
        if isinstance(part, bool):
            continue
        if not isinstance(part, Mapping):
            raise ContractError(f"{where}: is {type(part).__name__} and no schema")
        if depth > _DEEPEST:
            raise ContractError(f"{where}: deeper than {_DEEPEST} schemas inside one another")
        for word, value in part.items():
            fault = _fault(word, value, part, schema)
            if fault is not None:
                raise ContractError(f"{where}: {word}: {fault}")
        if "$ref" in part:
            references.setdefault(part["$ref"], where)
        count *= max(part.get("minItems", 1), part.get("minProperties", 1), 1)
        if count > _MOST:
            raise ContractError(f"{where}: needs more than {_MOST:,} items in all")
        waiting += [(f"{path}/{step}".lstrip("/"), each, depth + 1, count) for step, each in inner(part)]
    for reference, where in references.items():
        if _is_endless(reference, schema):
            raise ContractError(f"{where}: $ref: {reference!r} leads to itself, and says nothing of a value")


def _is_endless(reference: str, root: Any) -> bool:
    """Whether what a reference means is, for the same value, the reference again, and no further member of a union."""
    waiting = [(target(reference, root), False, False)]
    seen: set[tuple[str, bool, bool]] = set()
    while waiting:
        part, is_also, is_union = waiting.pop()
        if not isinstance(part, Mapping):
            continue
        if "$ref" in part:
            if part["$ref"] == reference and (is_also or not is_union):
                return True
            if (part["$ref"], is_also, is_union) not in seen:
                seen.add((part["$ref"], is_also, is_union))
                waiting.append((target(part["$ref"], root), is_also, is_union))
        waiting += [(each, True, is_union) for each in part.get("allOf", ())]
        waiting += [(each, is_also, True) for word in ("anyOf", "oneOf") for each in part.get(word, ())]
    return False


def _fault(word: str, value: Any, part: Mapping[str, Any], root: Any) -> str | None:
    if word == "x-eventbus":
        return None
    if word not in COMPARED and not is_remark(word):
        return "is no keyword that can be compared; say it with others, or in words"
    if word in REMARKS:
        kind = {"title": str, "description": str, "$defs": Mapping, "examples": list, "deprecated": bool}.get(word)
        return None if kind is None or isinstance(value, kind) else f"{value!r} is not what stands here"
    check = _CHECKS.get(word)
    try:
        if word == "$ref":
            target(value, root)
        elif check is not None and not check(value):
            return f"{str(value)[:80]!r} is not what stands here"
        elif word == TIME:
            return _time_fault(value, part.get("format"))
    except (KeyError, AttributeError, TypeError):
        return f"{str(value)[:80]!r} leads nowhere inside this file"
    except (ValueError, InvalidOperation, re.error) as error:
        return f"{str(value)[:80]!r}: {error}"
    return None


def _time_fault(value: Any, form: Any) -> str | None:
    if not isinstance(value, Mapping) or form not in PARSERS:
        return "stands beside a format of time only, with bounds as text"
    for name, bound in value.items():
        if name == "relative":
            if bound not in ("past", "future"):
                return f"relative is {bound!r}: give past or future"
        elif name == "zone":
            if bound not in ("aware", "naive"):
                return f"zone is {bound!r}: give aware or naive"
        elif name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") and isinstance(bound, str):
            instant(bound, form)
        else:
            return f"{name!r} is no bound"
    return None


def _is_count(value: Any, most: float = 2**53) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value) and len(set(value)) == len(value)


def _are_decimals(value: Any) -> bool:
    words = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "maxDigits", "decimalPlaces", "multipleOf"}
    return (
        isinstance(value, Mapping)
        and value.keys() <= words
        and all(isinstance(each, str) and Decimal(each).is_finite() for each in value.values())
        and all(
            value[word].isdigit() and int(value[word]) <= 10_000 for word in ("maxDigits", "decimalPlaces") if word in value
        )
        and Decimal(value.get("multipleOf", "1")) > 0
    )


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _are_types(value: Any) -> bool:
    return value in _TYPES if isinstance(value, str) else _are_texts(value) and bool(value) and set(value) <= _TYPES


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "type": _are_types,
    "enum": lambda value: isinstance(value, list) and bool(value),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("minItems", "minProperties"), lambda value: _is_count(value, _MOST)),
    "minLength": lambda value: _is_count(value, LONGEST),
    **dict.fromkeys(("maxItems", "maxProperties", "maxLength"), _is_count),
    "pattern": lambda value: isinstance(value, str) and bool(re.compile(value)),
    "format": lambda value: isinstance(value, str),
    "contentEncoding": lambda value: value == "base64",
    "required": _are_texts,
    "uniqueItems": lambda value: isinstance(value, bool),
    "properties": lambda value: isinstance(value, Mapping),
    "patternProperties": lambda value: isinstance(value, Mapping) and all(bool(re.compile(each)) for each in value),
    **dict.fromkeys(("items", "additionalProperties", "propertyNames"), lambda value: isinstance(value, bool | Mapping)),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _are_schemas),
    "discriminator": lambda value: isinstance(value, Mapping) and isinstance(value.get("propertyName"), str),
    DECIMAL: _are_decimals,
    BYTES: lambda value: (
        isinstance(value, Mapping)
        and value.keys() <= {"minLength", "maxLength"}
        and all(_is_count(each, LONGEST if word == "minLength" else 2**53) for word, each in value.items())
    ),
    URL: lambda value: isinstance(value, Mapping) and _are_texts(value.get("schemes")) and bool(value["schemes"]),
    TEXT: lambda value: isinstance(value, Mapping) and isinstance(value.get("strip"), bool),
    MADE: lambda value: isinstance(value, bool),
    NAMES: lambda value: isinstance(value, list) and all(isinstance(each, list) and each for each in value),
}


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{str(value)[:80]!r} is no list of examples")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no text")
    return value
