"""Documents: an AsyncAPI document that its official schema accepts, and pages that a real browser shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import Field

from eventbus import Event, Service, Value
from eventbus.contracts import contract_of, load_contracts, views_of
from eventbus.contracts.asyncapi import asyncapi
from eventbus.contracts.catalogue import write_catalogue
from eventbus.contracts.targets import services_of
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
SCHEMA = ROOT / "tools" / "asyncapi" / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
SERVICES = ("services.orders:service", "services.fulfillment:service", "services.email_confirmation:services")


def missing(what: str) -> None:
    """Skip where something is not here, and fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def test_the_document_is_valid_and_tells_who_does_what() -> None:
    if not SCHEMA.exists():
        missing("the AsyncAPI schemas are not here; npm ci --prefix tools/asyncapi")
    document = asyncapi(load_contracts(ROOT / "contracts"), views_of(services_of(SERVICES)), title="shop", version="1.0.0")
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert document["channels"]["orders_placed"]["bindings"]["x-nsq"]["channels"] == ["email_confirmation", "fulfillment"]
    operations = document["operations"]
    assert operations["orders.send.orders_placed"]["action"] == "send"
    assert operations["email_confirmation.default.receive.email"]["bindings"]["x-nsq"]["channel"] == "default"
    for target in re.findall(r'"\$ref": "(#[^"]+)"', json.dumps(document)):
        part = document
        for step in target[2:].split("/"):
            part = part[step]
    formats = {each["payload"]["schemaFormat"] for each in document["components"]["messages"].values()}
    assert formats == {"application/schema+json;version=draft-2020-12"}


PARSE = """
const fs = require("node:fs");
const { Parser } = require("@asyncapi/parser");
new Parser().parse(fs.readFileSync(0, "utf8")).then(({ diagnostics }) => console.log(JSON.stringify(diagnostics)));
"""


def test_the_official_parser_finds_no_fault_in_it() -> None:
    tools = ROOT / "tools" / "asyncapi"
    if not (tools / "node_modules" / "@asyncapi" / "parser").exists() or shutil.which("node") is None:
        missing("the AsyncAPI parser is not here; npm ci --prefix tools/asyncapi")
    contracts = [*load_contracts(ROOT / "contracts"), contract_of(Nasty, "orders"), contract_of(Wide, "orders")]
    document = asyncapi(contracts, views_of(services_of(SERVICES)), title="shop", version="1.0.0")
    done = subprocess.run(
        ["node", "-e", PARSE],
        cwd=tools,
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    found = json.loads(done.stdout)
    assert [each for each in found if each["severity"] < 2] == [], "no error and no warning"


class Part(Value):
    kind: Literal["part"]
    inner: list[Part] = []


class Whole(Value):
    kind: Literal["whole"]


class Wide(Event, topic="wide", version=1, name="Wide/Event"):
    """All kinds of fields."""

    any: Any
    choice: Annotated[Part | Whole, Field(discriminator="kind")]
    pairs: dict[str, tuple[int, Decimal]]
    raw: bytes = Field(max_length=9)
    at: datetime | None = None
    span: timedelta = timedelta(0)
    some: set[Literal[1, 2]] = Field(default_factory=set)
    limits: Annotated[Decimal, Field(max_digits=5, decimal_places=2)] = Decimal(1)


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("no browser here; install Debian's package chromium")
    return str(found)


def render(page: Path, folder: Path, *options: str) -> str:
    command = [
        *(browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--disable-quic", f"--user-data-dir={folder}"),
    ]
    done = subprocess.run([*command, *options, page.as_uri()], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return unescape(done.stdout)


class Twin(Event, topic="elsewhere", version=1, name="OrderPlaced"):
    other: int


def test_two_topics_may_carry_events_of_one_name() -> None:
    contracts = [*load_contracts(ROOT / "contracts"), contract_of(Twin, "others")]
    messages = asyncapi(contracts, [], title="shop", version="1.0.0")["components"]["messages"]
    assert "other" in messages["elsewhere.OrderPlaced.v1"]["payload"]["schema"]["properties"]
    assert "order_id" in messages["orders_placed.OrderPlaced.v1"]["payload"]["schema"]["properties"]


class Nasty(Event, topic="nasty", version=1):
    """<script>document.title = 'run'</script><img src=x onerror=alert(1)>"""

    text: str


def test_the_pages_are_shown_by_a_real_browser(tmp_path: Path) -> None:
    contracts = [*load_contracts(ROOT / "contracts"), contract_of(Nasty, "orders")]
    views = views_of([*services_of(SERVICES), Service("nobody")])
    pages = write_catalogue(tmp_path / "pages", contracts, views, title="The shop")
    assert len(pages) == 7
    index = render(pages[0], tmp_path / "profile", "--dump-dom")
    for shown in ("Who talks to whom", "OrderPlaced", "fulfillment", "email_confirmation: default", "nobody"):
        assert shown in index
    event = render(tmp_path / "pages" / "orders_placed.OrderPlaced.html", tmp_path / "profile", "--dump-dom")
    for shown in ("Version 1", "lines[].quantity", "integer (from 1, up to 10000)", "fulfillment.ship", "Topic"):
        assert shown in event
    nasty = render(tmp_path / "pages" / "nasty.Nasty.html", tmp_path / "profile", "--dump-dom")
    assert "<title>Nasty - The shop</title>" in nasty, "nothing in an event's words is run"
    for page in pages:
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.read_text()), "no network is needed"
    picture = tmp_path / "picture.png"
    render(pages[0], tmp_path / "profile", f"--screenshot={picture}", "--window-size=1000,1200")
    assert picture.stat().st_size > 20_000
