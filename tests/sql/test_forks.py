"""Forks: a child touches nothing of its parent's databases, whatever it does first, and has its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from eventbus.sql import Database, metadata
from eventbus.sql.tables import outbox, receipts_due
from tests.sql.events import effects_in, rows_of, tables
from tests.waiting import PATIENCE

# The parent forks while its relay, its inbox and a unit of work of its own are in the midst of it, and goes on afterwards.
# Once for each thing that a child may do first, in one process: to start one costs more than all that is tried.
PROGRAM = """
import sys
if sys.argv[3] == "patched":
    from gevent import monkey
    monkey.patch_all()
import gc, json, os, time
import gevent, sqlalchemy as sa
from eventbus import Bus, BusStateError, Service
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext
from tests.sql.events import Placed, Shipped, note

url, firsts, _, childs = sys.argv[1:]
database = Database(url)
unused = Database(url)
outbox = Outbox(database, source="shop", receipts=Receipts(timeout=30.0))
inbox = Inbox(database, outbox=outbox)
service = Service("shop")

@service.on(Placed, inbox=inbox, concurrency=4)
def ship(event: Placed, context: SqlContext) -> None:
    note(context.connection, event.number)

def place(number):
    return lambda connection: outbox.add(connection, Placed(number=number))

def be_the_child(first, said):
    global bus, outbox, inbox, service, database
    answer = "nothing"
    began = time.monotonic()
    try:
        if first == "add":
            outbox.add(None, Placed(number=500))
        elif first == "transact":
            database.transact(place(500))
        elif first == "publish":
            bus.publish(Placed(number=500))
        elif first == "with":
            with database:
                pass
        elif first == "collect":
            bus = outbox = inbox = service = database = None
            gc.collect()
        gevent.sleep(1.2)  # the rest of what the parent waits for comes meanwhile
        answer = "no error"
    except BusStateError as error:
        answer = str(error) if time.monotonic() - began < 1 else "late"
    try:
        with Database(url) as own:
            own.transact(lambda connection: note(connection, 2000))
        unused.transact(lambda connection: note(connection, 2001))
        with Database(childs) as own, Bus("memory://") as mine:
            # on a database of its own: a relay on the parent's rows would send them to this broker
            out = Outbox(own, source="child", receipts=None)
            mine.attach(out)
            own.transact(lambda connection: out.add(connection, Shipped(number=1)))
    except BaseException as error:
        answer = f"of its own: {error!r}"
    os.write(said, answer.encode())
    sys.exit(0)

bus = Bus("memory://")
bus.attach(outbox)
bus.start(service)
numbers = iter(range(1000))
heard = {}
for first in firsts.split(","):
    for _ in range(20):
        database.transact(place(next(numbers)))
    sleeping = None
    if not database.is_sqlite:
        sleeping = gevent.spawn(database.transact, lambda c: (note(c, 1000), c.execute(sa.text("SELECT pg_sleep(1)"))))
    gevent.sleep(0.2)
    ready, said = os.pipe()
    child = os.fork()
    if child == 0:
        be_the_child(first, said)
    for _ in range(40):
        database.transact(place(next(numbers)))
    if sleeping is not None:
        sleeping.get(timeout=60)
    os.waitpid(child, 0)
    heard[first] = os.read(ready, 1000).decode()
until = time.monotonic() + 60
while outbox.backlog().waiting + outbox.backlog().unsettled and time.monotonic() < until:
    gevent.sleep(0.05)
left = outbox.backlog()
bus.stop()
database.transact(lambda connection: note(connection, 3000))
database.close()
print(json.dumps(dict(heard=heard, left=left.waiting + left.unsettled)))
"""


@pytest.mark.parametrize(
    ("patching", "firsts"),
    [("patched", ["add", "transact", "sleep"]), ("unpatched", ["publish", "with", "collect"])],
)
def test_a_forked_child_touches_nothing_of_its_parents_database(
    new_database: Callable[..., Database], firsts: list[str], patching: str
) -> None:
    database, childs = new_database(metadata, tables), new_database(metadata, tables)
    urls = [each.engine.url.render_as_string(hide_password=False) for each in (database, childs)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, urls[0], ",".join(firsts), patching, urls[1]],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found["heard"]) == firsts
    for first, heard in found["heard"].items():
        if first in ("add", "transact", "publish"):
            assert "in this process" in heard
        else:
            assert heard == "no error"
    assert found["left"] == 0
    slept = 0 if database.is_sqlite else len(firsts)
    by_children = [2000, 2001]
    wanted = [*range(60 * len(firsts)), *[1000] * slept, *sorted(by_children * len(firsts)), 3000]
    assert effects_in(database) == wanted, done.stderr
    assert rows_of(database, receipts_due) == []
    assert "sent again" not in done.stderr
    sent = childs.read(lambda connection: connection.scalar(sa.select(sa.func.count(outbox.c.published_at))))
    assert sent == len(firsts)


IN_THE_MIDDLE = """
from gevent import monkey
sleep = monkey.get_original("time", "sleep")
waitpid = monkey.get_original("os", "waitpid")
monkey.patch_all()
import os, sys
import gevent, gevent.os
from sqlalchemy import Connection
from eventbus import BusStateError
from eventbus.sql import Database
from tests.sql.events import note

url, seconds = sys.argv[1], float(sys.argv[2])
database = Database(url)
ready = os.pipe()

def slow(connection: Connection) -> None:
    note(connection, 1)
    os.write(ready[1], b"x")
    sleep(seconds)

work = gevent.spawn(database.transact, slow)
gevent.os.tp_read(ready[0], 1)
child = gevent.os.fork_gevent()  # not watched: under load gevent misses the end of a child, once in some thousand
if child == 0:
    try:
        with Database(url) as own:
            own.transact(lambda connection: note(connection, 2))
    except BusStateError as error:
        print(error, flush=True)
    os._exit(0)
while waitpid(child, os.WNOHANG) == (0, 0):
    gevent.sleep(0.01)
work.get()
database.close()
"""


@pytest.mark.parametrize(("seconds", "effects", "said"), [(0.0, [1, 2], ""), (6.0, [1], "held it at the fork")])
def test_a_file_that_a_unit_of_work_holds_at_a_fork_is_not_the_childs(
    tmp_path: Path, seconds: float, effects: list[int], said: str
) -> None:
    url = f"sqlite:///{tmp_path}/mine.db"
    with Database(url) as database:
        database.create_tables(metadata, tables)
        program = [sys.executable, "-c", IN_THE_MIDDLE, url, str(seconds)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
        assert bool(said) == bool(done.stdout)
        assert effects_in(database) == effects
