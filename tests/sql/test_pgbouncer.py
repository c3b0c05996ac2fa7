"""PostgreSQL behind pgbouncer in transaction mode: each transaction may run in another session of the server."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gevent
import psycopg
import pytest
import sqlalchemy as sa

from eventbus import Bus, Service
from eventbus.sql import Database, Inbox, Outbox, SqlContext, metadata
from tests.nsqd import Process
from tests.ports import HOST, free_port
from tests.sql.events import Placed, Shipped, effects_in, note, tables
from tests.waiting import PATIENCE, eventually

COUNT = 100


@pytest.fixture
def pooled(postgres_server: str) -> Iterator[str]:
    """URL of an empty database behind pgbouncer with three sessions; the server must take its user without a password."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer here: install Debian's package pgbouncer")
    server = sa.make_url(postgres_server)
    if server.password is not None:
        pytest.skip("DATABASE_URL has a password, and pgbouncer is set up here without")
    folder, port, name = Path(tempfile.mkdtemp(prefix="pgbouncer-")), free_port(), f"pooled_{os.getpid()}"
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={server.host} port={server.port or 5432} user={server.username}\n"
        f"[pgbouncer]\nlisten_addr={HOST}\nlisten_port={port}\nauth_type=any\npool_mode=transaction\n"
        f"default_pool_size=3\nunix_socket_dir=\nlogfile={folder}/log\n"
    )
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    if as_nobody:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody", "nogroup")
    plain = server.set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        bouncer = Process(*as_nobody, program, str(folder / "pgbouncer.ini"))
        url = f"postgresql://{server.username}@{HOST}:{port}/{name}"
        try:
            eventually(lambda: _answers(url), "pgbouncer")
            yield url
        finally:
            bouncer.end()
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_outbox_inbox_and_receipts_work_behind_pgbouncer(pooled: str) -> None:
    with Database(pooled, pool_size=8, lock_timeout=PATIENCE) as database:
        database.create_tables(metadata, tables)
        database.check_tables()
        outbox = Outbox(database, source="shop")
        service = Service("fulfillment")

        @service.on(Placed, inbox=Inbox(database, outbox=outbox), concurrency=8)
        def ship(event: Placed, context: SqlContext) -> Shipped:
            note(context.connection, event.number)
            return Shipped(number=event.number)

        def place(number: int) -> None:
            database.transact(lambda connection: outbox.add(connection, Placed(number=number)))

        with Bus("memory://", source="shop") as bus:
            bus.start(service)
            bus.attach(outbox)
            jobs = [gevent.spawn(place, number) for number in range(COUNT)]
            gevent.joinall(jobs, raise_error=True)
            eventually(lambda: effects_in(database) == list(range(COUNT)), "all effects once")
            eventually(lambda: not outbox.backlog().unsettled, "all receipts")


def test_no_session_keeps_what_a_transaction_set(pooled: str) -> None:
    with Database(pooled, pool_size=8) as database:
        database.create_tables(metadata, tables)
        for _ in range(30):  # one statement, often enough for a driver that would prepare it
            database.read(lambda connection: connection.scalar(sa.text("SELECT count(*) FROM eventbus_outbox")))
        with psycopg.connect(pooled) as look:
            assert look.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
            shown = look.execute("SHOW lock_timeout").fetchone()
        with psycopg.connect(pooled) as other:
            assert other.execute("SHOW lock_timeout").fetchone() == shown == ("0",)
