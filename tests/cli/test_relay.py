"""`eventbus relay` as a process: what programs without a bus add comes to subscribers, whatever is killed meanwhile."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from eventbus import Bus, Service
from eventbus.sql import Database, Inbox, Outbox, SqlContext, metadata, upgrade
from tests.cli.running import Forked, run_command
from tests.nsqd import Nsqd
from tests.ports import free_port
from tests.postgres import own_database
from tests.sql.events import Placed, effects_in, note, tables
from tests.waiting import PATIENCE, eventually

Ends = Callable[[Any], Any]
Shop = tuple[sa.Engine, Database]


@pytest.fixture
def shop(new_database: Callable[..., Database], nsqd: Nsqd) -> Iterator[Shop]:
    """The engine of an application, and the database of a service that has an inbox and runs."""
    database, warehouse = (new_database(metadata, tables) for _ in range(2))
    service = Service("fulfillment")

    @service.on(Placed, inbox=Inbox(warehouse))
    def ship(event: Placed, context: SqlContext) -> None:
        note(context.connection, event.number)

    plain = sa.create_engine(database.engine.url)
    with Bus(nsqd.url, source="fulfillment") as bus:
        bus.start(service)
        yield plain, warehouse
    plain.dispose()


def relay(plain: sa.Engine, nsqd: Nsqd, *more: str) -> Forked:
    url = plain.url.render_as_string(hide_password=False)
    options = ("--database", url, "--bus", nsqd.url, "--source", "billing-relay", "--poll", "0.1", *more)
    # what a killed relay had leased is free after twice this time and 5 s
    environment = {"EVENTBUS_PUBLISH_TIMEOUT": "5"}
    return Forked("eventbus.cli", "relay", *options, cwd=Path.cwd(), environment=environment)


def place(plain: sa.Engine, *numbers: int) -> None:
    box = Outbox(source="billing")
    for number in numbers:
        with plain.begin() as connection:
            box.add(connection, Placed(number=number))


def waiting(plain: sa.Engine) -> int:
    with plain.connect() as connection:
        return len(connection.execute(sa.text("SELECT id FROM eventbus_outbox WHERE published_at IS NULL")).all())


def open_rows(plain: sa.Engine) -> int:
    with plain.connect() as connection:
        return len(connection.execute(sa.text("SELECT id FROM eventbus_outbox WHERE settled_at IS NULL")).all())


@pytest.mark.nsqd
def test_what_is_added_has_its_effect_once_though_relays_are_killed(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    plain, warehouse = shop
    place(plain, *range(5))
    first = ends(relay(plain, nsqd))
    eventually(lambda: effects_in(warehouse) == list(range(5)), "the first effects")
    first.signal(signal.SIGKILL)
    first.wait()
    place(plain, *range(5, 10))
    second = ends(relay(plain, nsqd))
    place(plain, *range(10, 15))
    eventually(lambda: effects_in(warehouse) == list(range(15)), "all effects, once each")
    eventually(lambda: open_rows(plain) == 0, "receipts to settle all rows")
    second.signal(signal.SIGTERM)
    assert second.wait() == 0, second.output()
    assert "stopped in" in second.output()


@pytest.mark.nsqd
def test_workers_share_the_rows_and_have_health_pages(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    plain, warehouse = shop
    port = free_port()
    running = ends(relay(plain, nsqd, "--workers", "2", "--health-port", str(port)))

    def is_ready() -> bool:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
        except OSError:
            return False

    eventually(is_ready, "the health page")
    place(plain, *range(20))
    eventually(lambda: effects_in(warehouse) == list(range(20)), "all effects, once each")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0, running.output()


@pytest.mark.nsqd
def test_a_relay_publishes_from_a_schema_of_choice(postgres_server: str, nsqd: Nsqd, ends: Ends) -> None:
    with own_database(postgres_server) as url:
        given = f"{url}?schema=events"
        with Database(given) as database:
            database.create_tables(metadata)
        plain = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        running = ends(relay(sa.create_engine(given), nsqd, "--no-receipts"))
        with plain.begin() as connection:
            Outbox(source="billing", schema="events").add(connection, Placed(number=1))

        def is_published() -> bool:
            with plain.connect() as connection:
                query = "SELECT count(*) FROM events.eventbus_outbox WHERE published_at IS NOT NULL"
                return connection.scalar(sa.text(query)) == 1

        eventually(is_published, "the row of the schema")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0, running.output()
        plain.dispose()


OUTBOX = """
import os
from eventbus.sql import Database, Outbox
outbox = Outbox(Database(os.environ["DATA"]), source="billing", receipts=None)
"""


@pytest.mark.nsqd
def test_a_relay_waits_for_its_tables(tmp_path: Path, nsqd: Nsqd, ends: Ends) -> None:
    plain = sa.create_engine(f"sqlite:///{tmp_path}/billing.db")
    running = ends(relay(plain, nsqd, "--wait", "60"))
    eventually(lambda: "eventbus outbox tables --create" in running.output(), "the relay says what it waits for")
    with plain.begin() as connection:
        upgrade(connection)
    place(plain, 1)
    eventually(lambda: not waiting(plain), "the row is published")
    plain.dispose()


def test_run_takes_an_outbox_for_a_service(tmp_path: Path) -> None:
    (tmp_path / "billing.py").write_text(OUTBOX)
    url = f"sqlite:///{tmp_path}/billing.db"
    with Database(url) as database:
        database.create_tables(metadata)
    plain = sa.create_engine(url)
    place(plain, 1)
    done = run_command("run", "billing:outbox", "--burst", folder=tmp_path, DATA=url, EVENTBUS_URL="memory://")
    assert done.code == 0, done.err
    assert "billing has no handler; what is attached to it runs" in done.err
    assert waiting(plain) == 0
    plain.dispose()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "--database"),
        (("--database", "mysql://root@localhost/x"), 2, "give sqlite or postgresql"),
        (("--database", "sqlite:///{folder}/none.db", "--wait", "0"), 2, "eventbus outbox tables --create"),
        (("--database", "sqlite:///{folder}/a/x.db", "--database", "sqlite:///{folder}/b/x.db"), 2, "--source"),
        (("--database", "sqlite://"), 2, "add --source"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, options: tuple[str, ...], code: int, said: str) -> None:
    words = [each.format(folder=tmp_path) for each in options]
    done = run_command("relay", *words, folder=tmp_path, EVENTBUS_URL="memory://")
    assert done.code == code, done.err
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
