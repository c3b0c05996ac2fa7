"""What is decided for each kind of change: the table in docs/guides/contracts.md holds, and a second opinion agrees."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import jsoncompat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, create_model

from eventbus import Event, Value
from eventbus.contracts import Contract, breaks, contract_of, differences
from eventbus.contracts.evolution import lenient
from eventbus.contracts.schema import read_schema
from eventbus.contracts.values import edges
from eventbus.contracts.views import View, check_views, refusal

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "contracts.md"
Fields = dict[str, Any]


class Line(Value):
    sku: str


class LineWithColour(Value):
    sku: str
    colour: str = "grey"


class LineWithoutSku(Value):
    colour: str = "grey"


class Card(Value):
    kind: Literal["card"]
    number: str


class Cash(Value):
    kind: Literal["cash"]


Paid = Annotated[Card | Cash, Field(discriminator="kind")]

KEEP = (int, ...)
CHANGES: dict[str, tuple[Fields, Fields]] = {
    "add a field with a default": ({"a": KEEP}, {"a": KEEP, "b": (int, 0)}),
    "add a field without a default": ({"a": KEEP}, {"a": KEEP, "b": (int, ...)}),
    "remove a field": ({"a": KEEP, "b": (int, ...)}, {"a": KEEP}),
    "remove a field that has a default": ({"a": KEEP, "b": (int, 0)}, {"a": KEEP}),
    "rename a field": ({"a": KEEP, "b": (int, ...)}, {"a": KEEP, "c": (int, ...)}),
    "retype a field": ({"a": (int, ...)}, {"a": (str, ...)}),
    "whole numbers become any numbers": ({"a": (int, ...)}, {"a": (float, ...)}),
    "narrow a number": ({"a": (Annotated[int, Field(le=100)], ...)}, {"a": (Annotated[int, Field(le=10)], ...)}),
    "widen a number": ({"a": (Annotated[int, Field(le=10)], ...)}, {"a": (Annotated[int, Field(le=100)], ...)}),
    "narrow a decimal": ({"a": (Decimal, ...)}, {"a": (Annotated[Decimal, Field(ge=0)], ...)}),
    "shorten a text": ({"a": (Annotated[str, Field(max_length=9)], ...)}, {"a": (Annotated[str, Field(max_length=5)], ...)}),
    "lengthen a text": (
        {"a": (Annotated[str, Field(max_length=5)], ...)},
        {"a": (Annotated[str, Field(max_length=9)], ...)},
    ),
    "ask for a pattern": ({"a": (str, ...)}, {"a": (Annotated[str, Field(pattern="^[A-Z]+$")], ...)}),
    "any text becomes a UUID": ({"a": (str, ...)}, {"a": (UUID, ...)}),
    "a UUID becomes any text": ({"a": (UUID, ...)}, {"a": (str, ...)}),
    "add an enum value": ({"a": (Literal["x"], ...)}, {"a": (Literal["x", "y"], ...)}),
    "remove an enum value": ({"a": (Literal["x", "y"], ...)}, {"a": (Literal["x"], ...)}),
    "allow null": ({"a": (int, ...)}, {"a": (int | None, ...)}),
    "forbid null": ({"a": (int | None, ...)}, {"a": (int, ...)}),
    "take a default away": ({"a": KEEP, "b": (int, 0)}, {"a": KEEP, "b": (int, ...)}),
    "give a default": ({"a": KEEP, "b": (int, ...)}, {"a": KEEP, "b": (int, 0)}),
    "add a nested field with a default": ({"a": (tuple[Line, ...], ...)}, {"a": (tuple[LineWithColour, ...], ...)}),
    "remove a nested field": ({"a": (tuple[Line, ...], ...)}, {"a": (tuple[LineWithoutSku, ...], ...)}),
    "allow longer lists": (
        {"a": (Annotated[list[int], Field(max_length=3)], ...)},
        {"a": (Annotated[list[int], Field(max_length=5)], ...)},
    ),
    "add a variant to a union": ({"a": (Card, ...)}, {"a": (Paid, ...)}),
    "remove a variant of a union": ({"a": (Paid, ...)}, {"a": (Card, ...)}),
    "a single value becomes a list": ({"a": (int, ...)}, {"a": (list[int], ...)}),
}


def event(fields: Fields, version: int = 1) -> type[Event]:
    made: type[Event] = create_model(
        "Changed", __base__=Event, __cls_kwargs__={"topic": "changes", "version": version}, **fields
    )
    return made


def versions(change: str) -> tuple[Contract, Contract]:
    before, after = CHANGES[change]
    return contract_of(event(before), "owner"), contract_of(event(after, 2), "owner")


def table() -> dict[str, tuple[bool, bool]]:
    rows = re.findall(r"^\| ([a-zA-Z ]+?) \| (yes|no) \| (yes|no) \|", GUIDE.read_text(), re.MULTILINE)
    return {name: (forward == "yes", backward == "yes") for name, forward, backward in rows}


def test_the_table_of_the_guide_names_every_change() -> None:
    assert set(table()) == set(CHANGES)


@pytest.mark.parametrize("change", CHANGES)
def test_the_table_of_the_guide_holds(change: str) -> None:
    older, newer = versions(change)
    decided = (not breaks(older, newer, "forward"), not breaks(older, newer, "backward"))
    assert decided == table()[change], [str(each) for each in breaks(older, newer)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_trial_with_values_agrees(change: str) -> None:
    older, newer = versions(change)
    before, after = (event(fields) for fields in CHANGES[change])
    # a consumer written for the older version relies on all of its fields, so its view has no defaults
    strict = event({name: (kind, ...) for name, (kind, _) in CHANGES[change][0].items()})
    forward = refusal(strict, newer) is None
    backward = refusal(after, older) is None
    decided = table()[change]
    if decided[0]:
        assert forward
    if decided[1]:
        assert backward
    # where values are read leniently (1 for 1.0, a decimal's text), the rule is stricter than the trial
    lenient_here = {"whole numbers become any numbers", "narrow a decimal", "retype a field"}
    if change not in lenient_here:
        assert (forward, backward) == decided
    assert refusal(before, older) is None, "the owner reads itself"


EXPLAINED = {
    ("narrow a decimal", "deserializer"): "bounds of a decimal stand in a keyword of ours, which it does not know",
    ("ask for a pattern", "deserializer"): "it does not compare patterns",
    ("a UUID becomes any text", "serializer"): "it takes a format for a remark; pydantic refuses what has another",
    ("add a variant to a union", "deserializer"): "it does not see that the tag tells the variants of a oneOf apart",
    ("remove a variant of a union", "serializer"): "it does not see that the tag tells the variants of a oneOf apart",
    ("any text becomes a UUID", "deserializer"): "it takes a format for a remark; pydantic refuses what has another",
}


@pytest.mark.parametrize("change", CHANGES)
def test_jsoncompat_agrees_or_the_disagreement_is_explained(change: str) -> None:
    older, newer = versions(change)
    for role, ours in (("serializer", breaks(older, newer, "forward")), ("deserializer", breaks(older, newer, "backward"))):
        # a writer sends no other fields, and a reader of ours minds none
        if role == "serializer":
            old, new = _open(older.schema), _plain(newer.schema)
        else:
            old, new = _plain(older.schema), _open(lenient(newer.schema))
        theirs = jsoncompat.check_compat(json.dumps(old), json.dumps(new), role)
        if theirs is (not ours):
            continue
        assert (change, role) in EXPLAINED, f"{role}: jsoncompat says {theirs}, ours {[str(each) for each in ours]}"


def _plain(schema: Any, *leave_out: str) -> Any:
    """Drop keywords that are ours alone."""
    if isinstance(schema, list):
        return [_plain(each, *leave_out) for each in schema]
    if not isinstance(schema, dict):
        return schema
    left = ("x-decimal", "discriminator", *leave_out)
    return {name: _plain(value, *leave_out) for name, value in schema.items() if name not in left}


def _open(schema: Any) -> Any:
    """The same for a reader, which passes over fields that it does not know."""
    return _plain(schema, "additionalProperties")


TYPES: list[Any] = [
    *(int, str, float, bool, UUID, date, Decimal, bytes, int | None, str | int, list[int], tuple[str, int], dict[str, int]),
    *(Literal["x"], Literal["x", "y"], Line, tuple[Line, ...], LineWithColour, Card, Paid, Any, set[int]),
    *(Annotated[int, Field(ge=0, le=9)], Annotated[int, Field(gt=0)], Annotated[str, Field(min_length=2, max_length=4)]),
    *(Annotated[Decimal, Field(max_digits=5, decimal_places=2, gt=0)], Annotated[list[str], Field(min_length=1)]),
]
fields = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.tuples(st.sampled_from(TYPES), st.just(...)), min_size=1, max_size=3
)


@settings(max_examples=200, deadline=None)
@given(written=fields, read=fields)
def test_whenever_the_rules_say_yes_no_value_is_refused(written: Fields, read: Fields) -> None:
    contract = contract_of(event(written), "owner")
    view = event(read)
    found = differences(contract.schema, read_schema(view))
    refused = refusal(view, contract)
    if refused is not None:
        assert found, f"{refused} but the rules found nothing"
        misfits = check_views([View("reader", "reader", "read", view)], [contract])
        assert all(each.counterexample == refused[0] for each in misfits), "the value is shown"


@settings(max_examples=100, deadline=None)
@given(fields)
def test_every_class_reads_all_edges_of_its_own_contract(written: Fields) -> None:
    made = event(written)
    contract = contract_of(made, "owner")
    assert differences(contract.schema, read_schema(made)) == []
    assert sum(1 for _ in edges(contract.schema)) >= 1
    assert refusal(made, contract) is None


class Node(Value):
    name: str
    children: tuple[Node, ...] = ()


class Tree(Event, topic="trees", version=1):
    root: Node


class TreeView(Event, topic="trees", name="Tree"):
    root: Node


def test_recursive_models_are_compared_and_tried() -> None:
    contract = contract_of(Tree, "owner")
    assert differences(contract.schema, read_schema(TreeView)) == []
    assert refusal(TreeView, contract) is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_break_shows_a_value_where_a_schema_can_refuse_one(change: str) -> None:
    found = breaks(*versions(change))
    # what a validator of schemas takes for a remark: formats, and the keyword of a decimal's bounds
    invisible = {"narrow a decimal", "any text becomes a UUID", "a UUID becomes any text"}
    if change not in invisible:
        assert all(each.counterexample for each in found), [str(each) for each in found]


def test_what_breaks_is_said_in_words() -> None:
    said = {change: [str(each) for each in breaks(*versions(change))] for change in CHANGES}
    assert any("field `b` was removed" in each for each in said["remove a field"])
    assert any("field `b` was added as required" in each for each in said["add a field without a default"])
    assert any("field `a[].sku`" in each for each in said["remove a nested field"])
    assert any("may be 'y', which is not accepted" in each for each in said["add an enum value"])
    assert get_args(Paid), "the union is one"
