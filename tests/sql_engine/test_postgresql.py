"""PostgreSQL carries the bus: ids in the order of commits, faults of server and connections, and rights."""

from __future__ import annotations

import gc
import subprocess
import sys

import gevent
import psycopg
import pytest

from eventbus import Bus, ConfigurationError, EventBusError, NotSent, Service
from tests.postgres import Cluster
from tests.sql_engine.worker import Numbered
from tests.waiting import eventually, stays


def _service(seen: list[int], name: str = "one") -> Service:
    service = Service(name)
    service.on(Numbered)(lambda event: seen.append(event.number))
    return service


def test_no_id_is_stepped_over_while_writers_are_held_open(database: str) -> None:
    """Two writers overlap, and the first one commits last in time of its begin: who reads meanwhile misses neither."""
    seen: list[int] = []
    with Bus(database) as bus:
        bus.start(_service(seen))
        bus.publish(Numbered(number=0))
        eventually(lambda: seen == [0])
        with psycopg.connect(database) as writer, Bus(f"{database}?retain=6d") as other:
            body = writer.execute("SELECT body FROM eventbus_bus_log").fetchone()
            last = writer.execute(
                "UPDATE eventbus_bus_topics SET last = last + 1 WHERE name = 'numbered' RETURNING last"
            ).fetchone()
            assert body is not None
            assert last is not None
            writer.execute("INSERT INTO eventbus_bus_log (id, at, due, body) VALUES (%s, 0, 0, %s)", (last[0], body[0]))
            second = gevent.spawn(other.publish, Numbered(number=2), timeout=30.0)
            stays(lambda: not second.ready() and seen == [0], 0.5, "the second writer waits its turn")
            writer.commit()
            second.get(timeout=30)
            eventually(lambda: sorted(seen) == [0, 0, 2])


def test_terminated_backends_cost_nothing(database: str) -> None:
    seen: list[int] = []
    confirmed: list[int] = []
    with Bus(database) as bus, psycopg.connect(database, autocommit=True) as killer:
        bus.start(_service(seen))

        def publish() -> None:
            for number in range(400):
                event = Numbered(number=number)
                while True:
                    try:
                        bus.publish(event)
                        break
                    except EventBusError:
                        gevent.sleep(0.01)
                confirmed.append(number)
                gevent.sleep(0.005)

        publishing = gevent.spawn(publish)
        for _ in range(8):
            gevent.sleep(0.25)
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        publishing.get(timeout=120)
        eventually(lambda: set(seen) == set(confirmed) == set(range(400)))


def test_a_server_that_restarts_loses_nothing_that_was_confirmed(cluster: Cluster, database: str) -> None:
    seen: list[int] = []
    with Bus(database) as bus:
        bus.start(_service(seen))
        bus.publish_all([Numbered(number=number) for number in range(100)])
        cluster.process.end()
        with pytest.raises(NotSent, match="cannot be reached|terminat|closed"):
            for _ in range(50):
                bus.publish(Numbered(number=-1), timeout=1.0)
        cluster.start()

        def is_back() -> bool:
            try:
                bus.publish(Numbered(number=100))
            except EventBusError:
                return False
            return True

        eventually(is_back)
        eventually(lambda: set(range(101)) <= set(seen))


def test_a_wake_comes_from_another_process(database: str) -> None:
    seen: list[int] = []
    script = "import sys\nfrom eventbus import Bus\nfrom tests.sql_engine.worker import Numbered\n"
    script += "with Bus(sys.argv[1]) as bus:\n    bus.publish(Numbered(number=7))\n"
    with Bus(database) as bus:
        bus.start(_service(seen))
        gevent.sleep(0.2)
        subprocess.run([sys.executable, "-c", script, database], check=True)
        eventually(lambda: seen == [7])


def test_a_bus_that_ends_at_once_leaves_no_connection_open(database: str) -> None:
    """It ends while it still connects to listen. What is left open is a ResourceWarning when it is collected."""
    service = _service([])
    for _ in range(10):
        with Bus(database) as bus:
            bus.declare(service)
    with psycopg.connect(database) as observer:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

        def is_alone() -> bool:
            observer.rollback()
            return observer.execute(others).fetchone() == (0,)

        eventually(is_alone)
    gc.collect()


def test_a_patched_process_waits_with_gevent(database: str) -> None:
    script = "from gevent import monkey\nmonkey.patch_all()\nimport sys, gevent\nfrom eventbus import Bus, Service\n"
    script += "from tests.sql_engine.worker import Numbered\nseen = []\nservice = Service('one')\n"
    script += "service.on(Numbered)(lambda event: seen.append(event.number))\n"
    script += "with Bus(sys.argv[1]) as bus:\n    bus.start(service)\n"
    script += "    gevent.joinall([gevent.spawn(bus.publish, Numbered(number=n)) for n in range(300)], raise_error=True)\n"
    script += "    while len(seen) < 300: gevent.sleep(0.01)\n"
    script += "    assert bus.engine._store.backend._threads is None\n"
    script += "print(sorted(seen) == list(range(300)))\n"
    done = subprocess.run([sys.executable, "-c", script, database], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


def test_a_schema_of_its_own(database: str) -> None:
    seen: list[int] = []
    with Bus(f"{database}?schema=events") as bus:
        bus.start(_service(seen))
        bus.publish(Numbered(number=1))
        eventually(lambda: seen == [1])
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'eventbus_bus%'"
        ).fetchall()
    assert found == [("events",)]


def test_a_role_without_rights_is_told_what_it_needs(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS poor")
        connection.execute("CREATE ROLE poor LOGIN")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    poor = database.replace("postgres@", "poor@", 1)
    with Bus(poor) as bus:
        with pytest.raises(ConfigurationError, match="has no right to what the bus needs.*grant CREATE"):
            bus.publish(Numbered(number=1))
        with pytest.raises(ConfigurationError, match="no right"):
            bus.start(_service([]))
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'eventbus%'").fetchone() == (0,)


def test_a_database_that_is_not_there_is_told(cluster: Cluster) -> None:
    with Bus(cluster.url.replace("/postgres", "/nowhere")) as bus, pytest.raises(NotSent, match='"nowhere" does not exist'):
        bus.publish(Numbered(number=1), timeout=5.0)


@pytest.mark.parametrize(
    ("query", "said"),
    [("retain=soon", "option 'retain'"), ("schema=", "option 'schema'"), ("speed=fast", "cannot read it.*speed")],
)
def test_a_wrong_option_is_told_at_once(query: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Bus(f"postgresql://localhost/bus?{query}")
