"""Under gevent's patching: PostgreSQL is waited for without blocking the hub, and a wrong order of imports is said."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from tests.waiting import PATIENCE

PROGRAM = """
import sys
{first}
from gevent import monkey
monkey.patch_all()
import json, logging, time
import gevent, sqlalchemy as sa
from eventbus.sql import Database
logging.basicConfig(stream=sys.stderr)
database = Database(sys.argv[1], pool_size=10)
database.transact(lambda c: None)
turns = 0
def turn():
    global turns
    while True:
        gevent.sleep(0.005)
        turns += 1
gevent.spawn(turn)
began = time.monotonic()
sleeps = [gevent.spawn(database.transact, lambda c: c.execute(sa.text("SELECT pg_sleep(3)"))) for _ in range(10)]
gevent.joinall(sleeps, raise_error=True)
took, turned = time.monotonic() - began, turns
killed = gevent.spawn(database.transact, lambda c: c.execute(sa.text("SELECT pg_sleep(3600)")))
gevent.sleep(0.1)
killed.kill()
database.transact(lambda c: c.execute(sa.text("SELECT 1")))
print(json.dumps(dict(took=took, turns=turned, threads=database._threads is not None)))
"""


@pytest.mark.parametrize(("first", "is_late"), [("", False), ("import psycopg", True)])
def test_ten_queries_at_a_time_do_not_block_the_hub(postgres_server: str, first: str, is_late: bool) -> None:
    program = textwrap.dedent(PROGRAM).format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program, postgres_server], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    found = json.loads(done.stdout)
    assert found["took"] < 15, "ten waits of 3 s at a time, not one after the other"
    assert found["turns"] > 20
    assert found["threads"] is is_late
    assert ("imported before gevent patched" in done.stderr) is is_late
