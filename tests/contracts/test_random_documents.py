"""Each event that can be published makes a valid AsyncAPI document: random owners, with names and words as people have."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import jsonschema

from eventbus import ContractError, EventDefinitionError
from eventbus.contracts import Contract, contract_of
from eventbus.contracts.asyncapi import asyncapi
from tests.contracts.random_classes import Maker
from tests.contracts.test_documents import ROOT, SCHEMA, missing
from tests.waiting import PATIENCE

OWNERS, IN_ONE = 120, 20
TYPES = (
    "Placed",
    "com.example/placed",
    "Größe geändert",
    "a~b",
    "100% {sure}",
    "x#y?z=1",
    "$ref",
    "event.v1",
    "a b",
    "ünï",
    "名前",
)
TOPICS = ("orders", "orders_v2", "o" * 40, "a.b-c", "x#ephemeral", "A", "components", "0")
OWNER_NAMES = ("orders", "the orders", "a/b", "ümlaut", "$defs", "o.o")
WORDS = ("plain", "", "<b>& \"quoted\" 'too'", "$ref: #/nowhere", "two\nlines", "{braces} ~0 ~1", "\u2028 \U0001f600")

PARSE = """
const { Parser } = require("@asyncapi/parser");
const documents = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
(async () => {
  const found = [];
  for (const document of documents) found.push((await new Parser().parse(JSON.stringify(document))).diagnostics);
  console.log(JSON.stringify(found));
})();
"""


def random_contracts(seed: int, count: int) -> Iterator[Contract]:
    made = 0
    for number in itertools.count():
        maker, pick = Maker(seed * 1_000_003 + number), Random(number)
        try:
            contract = contract_of(maker.event(maker.fields(0), is_owner=True), pick.choice(OWNER_NAMES))
        except (ContractError, EventDefinitionError, TypeError, ValueError):  # no class, or none that may be published
            continue
        schema = {**contract.schema, "description": pick.choice(WORDS)}
        yield replace(
            contract,
            topic=pick.choice(TOPICS),
            type=f"{pick.choice(TYPES)}{made}",
            schema=schema,
            is_deprecated=made % 7 == 0,
        )
        made += 1
        if made == count:
            return


def documents(seed: int, count: int) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        contracts = list(random_contracts(seed, count))
    return [
        asyncapi(list(part), [], title="shop", version="1.0.0")
        for part in (contracts[start : start + IN_ONE] for start in range(0, len(contracts), IN_ONE))
    ]


def test_random_owners_make_valid_documents() -> None:
    if not SCHEMA.exists():
        missing("the AsyncAPI schemas are not here; npm ci --prefix tools/asyncapi")
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    for document in documents(1, OWNERS):
        validator.validate(document)
        for key, message in document["components"]["messages"].items():
            schema = {**document, "$ref": f"#/components/messages/{key}/payload/schema"}
            jsonschema.Draft202012Validator.check_schema(message["payload"]["schema"])
            for example in message["examples"]:
                jsonschema.Draft202012Validator(schema).validate(example["payload"])


def test_names_that_look_alike_as_keys_stay_apart() -> None:
    [made] = random_contracts(3, 1)
    names = [
        ("x#ephemeral", "E"),
        ("x_ephemeral", "E"),
        ("a", "b.c"),
        ("a.b", "c"),
        ("t", "Größe"),
        ("t", "Gr__e"),
        ("t", "Gr/_e"),
    ]
    contracts = [replace(made, topic=topic, type=type_, owner=owner) for topic, type_ in names for owner in ("ö", "_")]
    document = asyncapi(contracts[::2] + contracts[1::2], [], title="shop", version="1.0.0")
    shown = [each["address"] for each in document["channels"].values()]
    assert sorted(shown) == sorted({topic for topic, _ in names})
    messages = document["components"]["messages"].values()
    assert sorted(each["name"] for each in messages) == sorted(type_ for _, type_ in names)
    assert len(document["operations"]) == 2 * len(shown), "two owners, each of which sends to each topic"


def test_the_official_parser_takes_them() -> None:
    tools = ROOT / "tools" / "asyncapi"
    if not (tools / "node_modules" / "@asyncapi" / "parser").exists() or shutil.which("node") is None:
        missing("the AsyncAPI parser is not here; npm ci --prefix tools/asyncapi")
    written = json.dumps(documents(2, OWNERS))
    done = subprocess.run(
        ["node", "-e", PARSE], cwd=tools, input=written, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    found = [each for diagnostics in json.loads(done.stdout) for each in diagnostics if each["severity"] < 2]
    assert found == [], "no error and no warning"
