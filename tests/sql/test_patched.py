"""Under gevent's patching: PostgreSQL is waited for without blocking the hub, and a wrong order of imports is said."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

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
gaps = []
def watch():
    last = time.monotonic()
    while True:
        gevent.sleep(0.005)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
watcher = gevent.spawn(watch)
began = time.monotonic()
sleeps = [gevent.spawn(database.transact, lambda c: c.execute(sa.text("SELECT pg_sleep(0.3)"))) for _ in range(10)]
gevent.joinall(sleeps, raise_error=True)
took = time.monotonic() - began
killed = gevent.spawn(database.transact, lambda c: c.execute(sa.text("SELECT pg_sleep(30)")))
gevent.sleep(0.1)
killed.kill()
database.transact(lambda c: c.execute(sa.text("SELECT 1")))
print(json.dumps(dict(took=took, gap=max(gaps), threads=database._threads is not None)))
"""


@pytest.mark.parametrize(("first", "is_late"), [("", False), ("import psycopg", True)])
def test_ten_queries_at_a_time_do_not_block_the_hub(postgres_server: str, first: str, is_late: bool) -> None:
    program = textwrap.dedent(PROGRAM).format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program, postgres_server], capture_output=True, text=True, timeout=50, check=True
    )
    found = json.loads(done.stdout)
    assert found["took"] < 1.5, "ten waits of 0.3 s at a time, not one after the other"
    assert found["gap"] < 0.25
    assert found["threads"] is is_late
    assert ("imported before gevent patched" in done.stderr) is is_late
