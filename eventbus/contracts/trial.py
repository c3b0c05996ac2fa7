"""Trial: the owner's class itself is asked. Objects of it are dumped as they travel, held against the schema and read back.

What a schema says of a class and what the class sends differ wherever pydantic lets a class say one thing and do another:
serializers, aliases, defaults that are no values, fields that are left out, unions whose members look alike as JSON. Here it
is found, whatever the cause.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

from eventbus.contracts.conform import Conformance
from eventbus.contracts.dialect import MADE, mapped
from eventbus.contracts.schema import node_schema
from eventbus.contracts.values import edges, example
from eventbus.errors import ContractError, EncodeError, EventDefinitionError
from eventbus.event import Event
from eventbus.wire.dumping import dump, same
from eventbus.wire.writing import Tree

_EXAMPLES = 3
_TRIED = 300
_KEPT = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """What the class said.

    Attributes:
        examples: a few of its values.
        trials: more of them, where it refuses some that its schema allows; None where it takes all.
    """

    examples: tuple[Any, ...]
    trials: tuple[Any, ...] | None


def ask_owner(event_type: type[Event], schema: Mapping[str, Any]) -> Asked:
    """Make objects of a class and see that they travel.

    Raises:
        ContractError: no object could be made, or one does not come back as it was, or is not what the schema says.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a deprecated class, and pydantic about the values that are refused here
        _check_extras(event_type)
        _check_unions(event_type)
        return _ask(event_type, schema)


def _ask(event_type: type[Event], schema: Mapping[str, Any]) -> Asked:
    validate = event_type.__pydantic_validator__.validate_python
    conformance = Conformance(schema, remembers=True)
    taken: dict[str, Any] = {}  # by its text: to compare hundreds of large values with each other takes longer than the rest
    refused: str | None = None
    for value in _candidates(event_type, schema):
        try:
            made = validate(value, extra="ignore")
        except ValidationError as error:
            refused = refused or _first(error)
            continue
        except Exception as error:  # whatever a validator of the class raises: it does not take the value
            refused = refused or f"{type(error).__name__}: {error}"[:300]
            continue
        sent = _sent(event_type, made, conformance, schema)
        taken.setdefault(json.dumps(sent), sent)
    if not taken:
        raise ContractError(
            f"{event_type.__name__}: no example could be made that the class accepts: {refused}; "
            "give its fields Field(examples=[...])"
        )
    _check_defaults(event_type, schema, conformance)
    values = list(taken.values())
    return Asked(tuple(values[:_EXAMPLES]), None if refused is None else tuple(values[:_KEPT]))


def _candidates(event_type: type[Event], schema: Mapping[str, Any]) -> Iterator[Any]:
    try:
        yield example(schema)
    except ContractError as error:
        raise ContractError(f"{event_type.__name__}: {error}") from None
    yield from edges(schema, most=_TRIED)


def _sent(event_type: type[Event], made: Event, conformance: Conformance, schema: Mapping[str, Any]) -> Any:
    name = event_type.__name__
    try:
        sent = dump(made)
    except (EncodeError, EventDefinitionError) as error:
        raise ContractError(f"{name}: a value of the class cannot be sent: {error}") from None
    try:
        back = event_type.__pydantic_validator__.validate_python(sent, extra="ignore")
    except Exception as error:  # as above
        why = _first(error) if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
        raise ContractError(
            f"{name}: cannot read what it sends itself: {why}; let each field be written under a name and in a form that it "
            "reads: an alias for both directions, no serializer without its validator, a default of the field's own type "
            "(write `str | None` for a default of None)"
        ) from None
    if not same(made, back):
        fields = [each for each in event_type.model_fields if not same(getattr(made, each), getattr(back, each))]
        raise ContractError(
            f"{name}: field `{', '.join(fields) or 'data'}` does not come back as it was sent; give it a type that JSON "
            "has, or a serializer and a validator that undo each other"
        )
    fault = next(conformance.faults(schema, sent), None)
    if fault is not None:
        raise ContractError(
            f"{name}: field `{fault[0] or 'data'}` {fault[1]}: what the class sends is not what its schema says; give its "
            "serializer the type that it returns, and its default the type of the field"
        )
    return sent


def _check_defaults(event_type: type[Event], schema: Mapping[str, Any], conformance: Conformance) -> None:
    """Ask for an object of which only what has no default was given, inside of its parts too."""

    def needed(part: Any) -> Any:
        if not isinstance(part, Mapping):
            return part
        made = mapped(part, needed)
        if "properties" in part:
            kept = {
                name: each
                for name, each in made["properties"].items()
                if not (
                    isinstance(part["properties"][name], Mapping) and part["properties"][name].keys() & {"default", MADE}
                )
            }
            made = {**made, "properties": kept, "required": [name for name in made.get("required", ()) if name in kept]}
        return made

    for value in (example(needed(schema)), *edges(needed(schema), most=20)):
        try:
            made = event_type.__pydantic_validator__.validate_python(value, extra="ignore")
        except Exception:  # a rule of the class asks for more
            continue
        _sent(event_type, made, conformance, schema)


def _check_extras(event_type: type[Event]) -> None:
    tree = Tree(event_type.__pydantic_core_schema__)
    for node in tree.below(tree.root):
        config = node.get("config") or {}
        behaviour = node.get("extra_behavior") or node.get("extras_behavior") or config.get("extra_fields_behavior")
        if behaviour == "allow":
            name = getattr(node.get("cls"), "__name__", event_type.__name__)
            raise ContractError(
                f"{event_type.__name__}: {name} has extra='allow', and a reader passes over fields that it does not name; "
                "give them a field of their own, as `further: dict[str, Any]`"
            )


def _check_unions(event_type: type[Event]) -> None:
    """Ask of each union whose members look alike on the wire whether each is read as what it was."""
    tree = Tree(event_type.__pydantic_core_schema__)
    for name, field in tree.fields().items():
        for node in tree.below(field["schema"]):
            if tree.has_mixed_keys(node):
                raise ContractError(
                    f"{event_type.__name__}: field `{name}` is a map with keys of several types, and keys travel as text: 1 "
                    'would be read as "1", and None as "None"; give it keys of one type'
                )
            if node.get("type") == "union" and tree.is_lookalike(node):
                _check_union(event_type, name, node, tree)


def _check_union(event_type: type[Event], field: str, node: dict[str, Any], tree: Tree) -> None:
    members = [each[0] if isinstance(each, tuple) else each for each in node["choices"]]
    if all(tree.kind(each) in ("model", "none") for each in members):
        return  # which value is read as what hangs on the value; publishing looks at each

    def whole(part: Any) -> Any:
        return core_schema.definitions_schema(part, list(tree.definitions.values())) if tree.definitions else part

    read, write = SchemaValidator(whole(node)), SchemaSerializer(whole(node))
    for member in members:
        try:
            accept, schema = SchemaValidator(whole(member)), node_schema(whole(member))
            values = [example(schema), *edges(schema, most=20)]
        except Exception:  # no value of this member can be made; publishing looks at each
            continue
        for value in values:
            try:
                made = accept.validate_python(value)
            except ValueError:
                continue
            back = read.validate_python(write.to_python(made, mode="json", by_alias=True), extra="ignore")
            if not same(made, back):
                raise ContractError(
                    f"{event_type.__name__}: field `{field}`: a {type(made).__name__} would be read as "
                    f"{type(back).__name__}: the members of its union look alike on the wire; give each a field of its own, "
                    "or a model with a tag"
                )


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"field `{place}`: {fault['msg']}" if place else fault["msg"]
