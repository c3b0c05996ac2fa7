"""Faults of the soak in its databases: tables that others hold, a server that hangs, dies or has no room."""

from __future__ import annotations

import signal
from collections.abc import Callable

import gevent
import psycopg
import sqlalchemy as sa

from tests.soak.fault import Fault, signal_process
from tests.soak.world import World


def lock_database(world: World, seconds: float) -> bool:
    """Somebody who holds the tables that the services write."""
    name = world.random.choice(sorted(world.urls))
    database = {"orders": world.books.orders, "fulfillment": world.books.fulfillment, "billing": world.books.billing}[name]
    words = "BEGIN EXCLUSIVE" if world.cluster is None else "LOCK TABLE eventbus_outbox, eventbus_inbox IN EXCLUSIVE MODE"

    def hold() -> None:
        with database.engine.connect() as connection:
            if world.cluster is None:
                raw = connection.connection.driver_connection
                assert raw is not None
                raw.execute(words) if not raw.in_transaction else raw.execute("UPDATE eventbus_schema SET version = version")
            else:
                connection.execute(sa.text(words))
            gevent.sleep(min(seconds, 20.0))
            connection.rollback()

    try:
        hold()
    except sa.exc.DBAPIError:  # it is busy
        return False
    return True


def postgres(act: Callable[[World, float], None]) -> Fault:
    def fault(world: World, seconds: float) -> bool:
        if world.cluster is None:
            return False
        act(world, seconds)
        return True

    return fault


def kill_postgres(world: World, seconds: float) -> None:
    assert world.cluster is not None
    world.cluster.process.end()
    gevent.sleep(min(seconds / 3, 5.0))
    world.cluster.start()


def stop_postgres(world: World, seconds: float) -> None:
    assert world.cluster is not None
    pids = [world.cluster.process.process.pid]
    with psycopg.connect(world.cluster.url) as connection:
        pids += [row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]
    for pid in pids:
        signal_process(pid, signal.SIGSTOP)
    gevent.sleep(min(seconds, 20.0))
    for pid in pids:
        signal_process(pid, signal.SIGCONT)


def end_sessions(world: World, seconds: float) -> None:
    assert world.cluster is not None
    with psycopg.connect(world.cluster.url) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def use_up_connections(world: World, seconds: float) -> None:
    assert world.cluster is not None
    taken = []
    try:
        while True:
            taken.append(psycopg.connect(world.cluster.url))
    except psycopg.OperationalError:
        gevent.sleep(min(seconds, 10.0))
    finally:
        for each in taken:
            each.close()
