"""Files of others: whatever a contract's file holds, it is refused when it is read, or all that reads it comes to an end."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from eventbus import ContractError, Event, Value
from eventbus.contracts import View, breaks, check_views, contract_of, impact, read_contract
from eventbus.contracts.asyncapi import asyncapi
from eventbus.contracts.catalogue import write_catalogue
from eventbus.contracts.data import DataCheck
from eventbus.errors import MisfitError


class Card(Value):
    kind: Literal["card"] = "card"
    number: Annotated[str, Field(pattern="^[0-9]{4}$")]


class Cash(Value):
    kind: Literal["cash"] = "cash"
    till: int = Field(ge=1)


class Node(Value):
    name: str
    children: tuple[Node, ...] = ()


class Whole(Event, topic="t", version=1):
    amount: Annotated[Decimal, Field(ge=0, decimal_places=2)]
    paid: Annotated[Card | Cash, Field(discriminator="kind")]
    tags: dict[str, list[int]] = Field(max_length=3)
    pair: tuple[int, str | None]
    root: Node
    anything: Any = None


CONTRACT = contract_of(Whole, "o")
DOCUMENT = json.loads(CONTRACT.to_json())
JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**12, "", "object", "#/$defs/Node", "#", "(", [], [1], {}, {"type": "string"}),
    *({"$ref": "#/$defs/Nowhere"}, {"not": {}}, ["string", "null"], {"anyOf": []}, [{}], "nan", {"a": {"b": 1}}),
]
WORDS = [
    *(
        "type",
        "properties",
        "required",
        "items",
        "prefixItems",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "pattern",
    ),
    *(
        "minItems",
        "maxLength",
        "minimum",
        "format",
        "x-decimal",
        "x-time",
        "x-bytes",
        "x-url",
        "additionalProperties",
        "not",
    ),
    *("propertyNames", "patternProperties", "discriminator", "multipleOf", "uniqueItems", "contentEncoding", "default"),
]


def edited(draw: random.Random) -> str:
    document = copy.deepcopy(DOCUMENT)
    places: list[tuple[Any, Any]] = []

    def collect(part: Any) -> None:
        for key in list(part.keys()) if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                collect(part[key])

    collect(document)
    part, key = draw.choice(places)
    how = draw.randrange(4)
    if how == 0:
        del part[key]
    elif how == 1 or not isinstance(part, dict):
        part[key] = copy.deepcopy(draw.choice(JUNK))
    elif how == 2:
        part[draw.choice(WORDS)] = copy.deepcopy(draw.choice(JUNK))
    else:
        part[key] = copy.deepcopy(draw.choice(places)[0])
    return json.dumps(document)


def use(text: str, folder: Path) -> None:
    contract = read_contract(text, "edited")
    check_views([View("s", "s", "h", Whole)], [contract])
    breaks(CONTRACT, contract)
    impact("t.paid", [View("s", "s", "h", Whole)], [contract])
    asyncapi([contract], [], title="T", version="1")
    write_catalogue(folder, [contract], [], title="T")
    with contextlib.suppress(MisfitError):
        DataCheck(contract).check({"amount": 1})


@pytest.mark.parametrize("seed", range(7))
def test_each_edit_of_a_file_ends_in_a_verdict_or_in_words(seed: int) -> None:
    draw, refused = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(20):
            text = edited(draw)
            try:
                use(text, Path(folder))
            except ContractError as error:
                refused += 1
                assert str(error)
    assert 3 < refused < 20


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"not": {}}, "properties/v: not: is no keyword that can be compared"),
        ({"type": "array", "items": [True]}, "properties/v: items: "),
        ({"minItems": 10**12, "type": "array"}, "properties/v: minItems: "),
        ({"pattern": "("}, "properties/v: pattern: "),
        ({"$ref": "#/$defs/No"}, "properties/v: $ref: "),
        ({"anyOf": [{"type": "text"}]}, "properties/v/anyOf/0: type: "),
        ({"x-decimal": {"minimum": "x"}}, "properties/v: x-decimal: "),
        ({"x-time": {"minimum": "x"}, "format": "date"}, "properties/v: x-time: "),
        ([], "properties/v: is list and no schema"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_place(part: Any, said: str) -> None:
    with pytest.raises(ContractError) as raised:
        read_contract(foreign(part), "theirs.json")
    assert str(raised.value).startswith("theirs.json: ")
    assert said in str(raised.value)


@pytest.mark.parametrize("part", [True, {}, {"type": ["string", "null"]}, {"x-pii": True, "$comment": "why"}, {"$ref": "#"}])
def test_what_can_be_compared_is_read(part: Any) -> None:
    read_contract(foreign(part, {}, required=False), "theirs.json")


def foreign(part: Any, example: Any = None, *, required: bool = True) -> str:
    return json.dumps(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"v": part},
            "required": ["v"] if required else [],
            "examples": [{"v": 1} if example is None else example],
            "x-eventbus": {"owner": "o", "topic": "t", "type": "E", "version": 1},
        }
    )
