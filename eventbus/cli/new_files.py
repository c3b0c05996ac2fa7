"""What `eventbus new service` writes, as texts by path."""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from pydantic import Field

from eventbus.contracts.contract import Contract
from eventbus.event import Event


class Greeted(Event, topic="greetings", version=1):
    """Somebody was greeted."""

    name: str = Field(examples=["Ada"])


_FORMATS = {
    "uuid": ("UUID", "from uuid import UUID"),
    "date-time": ("datetime", "from datetime import datetime"),
    "date": ("date", "from datetime import date"),
    "decimal": ("Decimal", "from decimal import Decimal"),
}
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}

_EVENTS = Template('''\
"""The view of the service $name: what it reads of the events of others. The contract is $place."""

${imports}from eventbus import Event


class $view(Event, topic="$topic"$called):
    """View: take in the fields that the handler needs, and no others."""
$fields''')

_APP = Template('''\
"""The service $name. Run it: eventbus run --factory $name.app:build"""

import os

import sqlalchemy as sa
from eventbus import Retry, Service
from eventbus.sql import Database, Inbox, SqlContext, metadata

from $name.events import $view

tables = sa.MetaData()
handled = sa.Table("${name}_handled", tables, sa.Column("event_id", sa.String(255), primary_key=True))


def build(database: Database | None = None) -> Service:
    """Return the service on a database; that of ${variable} unless given."""
    database = database or Database(os.environ.get("$variable", "sqlite:///$name.db"))
    database.create_tables(metadata, tables)
    service = Service("$name")  # its channel: never change it

    @service.on($view, inbox=Inbox(database), retry=Retry(attempts=8))
    def handle(event: $view, context: SqlContext) -> None:
        # in one transaction with the claim of the event: its effect happens once
        context.connection.execute(sa.insert(handled).values(event_id=context.event_id))

    return service
''')

_TEST = Template('''\
"""The service $name: its view fits the contract, and an event that comes twice has its effect once."""

import sqlalchemy as sa
from eventbus.sql import Database
from eventbus.testing import Harness
from eventbus.testing.contracts import contract_tests

from $name.app import build, handled
from $name.events import $view

EXAMPLE = $example

test_contracts = contract_tests(build(Database("sqlite://")), contracts="$contracts")


def test_an_event_has_its_effect_once():
    database = Database("sqlite://")
    with Harness(build(database)) as harness:
        harness.duplicate_next()
        harness.publish($view.model_validate_json(EXAMPLE))
        harness.settle()
    assert database.read(lambda connection: connection.scalar(sa.select(sa.func.count()).select_from(handled))) == 1
''')

_COMPOSE = Template("""\
# docker compose --file docker-compose.yml --file compose.$name.yaml up $name
# EVENTBUS_IMAGE has Python and eventbus[cli,sql]; the broker and the database are those of your own compose file.
services:
  $name:
    build:
      context: .
      dockerfile_inline: |
        FROM $${EVENTBUS_IMAGE:-eventbus}
        WORKDIR /opt/app
        COPY $name /opt/app/$name
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    stop_grace_period: 30s # longer than the bus's grace of 20 s
    environment:
      EVENTBUS_URL: $${EVENTBUS_URL:-nsq://nsqlookupd:4161}
      EVENTBUS_HEALTH_PORT: "9100"
      $variable: $${$variable:?as postgresql://$name@postgres/$name}
    command: ["eventbus", "run", "--factory", "$name.app:build"]
    healthcheck:
      test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/readyz', timeout=4)"]
      interval: 5s
      timeout: 5s
      start_period: 30s
""")


def files_of(name: str, contract: Contract, contracts: str) -> dict[Path, str]:
    """Return the files of a service.

    Args:
        contract: of the event that it reads.
        contracts: where contracts come from, for its test.
    """
    fields = _fields(contract.schema)
    view = contract.type if contract.type.isidentifier() and not keyword.iskeyword(contract.type) else "EventView"
    example = contract.examples[0] if contract.examples else {}
    shown = json.dumps({field: example[field] for field in fields if field in example}, indent=2)
    words = {
        "name": name,
        "view": view,
        "topic": contract.topic,
        "place": contract.path,
        "called": "" if view == contract.type else f", name={contract.type!r}",
        "variable": f"{name.upper()}_DATABASE_URL",
        "contracts": contracts,
        "imports": "".join(f"{line}\n" for line in sorted({line for _, line in fields.values() if line}))
        + "\n" * bool(fields),
        "fields": "".join(f"\n    {field}: {kind}" for field, (kind, _) in fields.items()) + "\n" if fields else "",
        "example": f'r"""{shown}"""' if '"""' not in shown else repr(shown),
    }
    words["imports"] = words["imports"] if words["imports"].strip() else ""
    return {
        Path(name) / "__init__.py": f'"""The service {name}."""\n',
        Path(name) / "events.py": _EVENTS.substitute(words),
        Path(name) / "app.py": _APP.substitute(words),
        Path("tests") / f"test_{name}.py": _TEST.substitute(words),
        Path(f"compose.{name}.yaml"): _COMPOSE.substitute(words),
    }


def _fields(schema: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return type and import of the fields that are simple, required and of nobody's person."""
    found: dict[str, tuple[str, str]] = {}
    for field in schema.get("required", []):
        said = schema.get("properties", {}).get(field, {})
        kind = _TYPES.get(str(said.get("type")))
        if kind is None or said.get("x-personal") or not field.isidentifier() or keyword.iskeyword(field) or field[0] == "_":
            continue
        found[field] = _FORMATS.get(said.get("format"), (kind, "")) if kind == "str" else (kind, "")
    return found
