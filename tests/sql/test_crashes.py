"""Crashes at every step between begin and finish: the effect is there once, and nothing that was committed is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eventbus import ConfigurationError
from eventbus.runtime import failpoints
from eventbus.runtime.failpoints import PLACES, FailpointError, read_failpoints, set_failpoint
from eventbus.sql import Database, metadata
from eventbus.sql.tables import outbox
from tests.cli.running import Forked
from tests.nsqd import Nsqd
from tests.sql.conftest import Shop
from tests.sql.events import COUNT, effects_in, rows_of, tables
from tests.waiting import PATIENCE, eventually

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def failing(place: str, times: int) -> Iterator[None]:
    """Let the next `times` passes of a failpoint break off what is under way there, as a crash does."""
    left = times

    def act() -> None:
        nonlocal left
        if left:
            left -= 1
            raise FailpointError(place)

    set_failpoint(place, act)
    try:
        yield
    finally:
        set_failpoint(place, None)


@example(faults=[("after_claim", 1), ("before_commit", 3)], losses=0, doubles=0, orders=1)  # as many as there are attempts
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    faults=st.lists(
        st.tuples(st.sampled_from(sorted(PLACES)), st.integers(1, 3)), max_size=4, unique_by=lambda pair: pair[0]
    ),
    losses=st.integers(0, 3),
    doubles=st.integers(0, 3),
    orders=st.integers(1, 8),
)
def test_whatever_breaks_each_order_has_one_effect(
    new_database: Callable[..., Database],
    faults: list[tuple[str, int]],
    losses: int,
    doubles: int,
    orders: int,
) -> None:
    shop = Shop(new_database)
    try:
        shop.start()
        with shop.harness.expecting(FailpointError):
            managers = [failing(place, times) for place, times in faults]
            for each in managers:
                each.__enter__()
            shop.harness.lose_next(losses)
            shop.harness.duplicate_next(doubles)
            for number in range(orders):
                shop.place(number)
            shop.harness.advance(300.0)
            for each in managers:
                each.__exit__(None, None, None)
            shop.harness.advance(1500.0)
        assert effects_in(shop.fulfillment) == list(range(orders))
        assert sorted(set(shop.shipped())) == list(range(orders))
        assert shop.outbox.backlog().waiting == shop.outbox.backlog().unsettled == 0
    finally:
        shop.harness.close()
        shop.orders.close()
        shop.fulfillment.close()


@pytest.mark.nsqd
@pytest.mark.parametrize("place", sorted(set(PLACES) - {"after_park_before_receipt"}))
def test_a_process_killed_at_each_step_loses_and_doubles_nothing(
    new_url: Callable[[], str], place: str, request: pytest.FixtureRequest
) -> None:
    if "postgresql" in request.node.name and place not in (
        "before_commit",
        "after_commit_before_finish",
        "relay_after_publish",
    ):
        pytest.skip("the steps outside of transactions do not depend on the database; tried on SQLite")
    urls = [new_url(), new_url()]
    databases = [Database(url, lock_timeout=PATIENCE) for url in urls]
    for database in databases:
        database.create_tables(metadata, tables)
    orders, fulfillment = databases
    nsqd = Nsqd()
    processes: list[Forked] = []

    def run(role: str, fault: str = "") -> Forked:
        os.environ["EVENTBUS_FAILPOINTS"] = fault
        try:
            bus_url = f"nsq+direct://{nsqd.tcp}?message_timeout=1"
            processes.append(Forked("tests.sql.shop_worker", role, bus_url, *urls, cwd=ROOT))
        finally:
            del os.environ["EVENTBUS_FAILPOINTS"]
        return processes[-1]

    victim_role = "orders" if place.startswith("relay") else "fulfillment"
    other_role = "fulfillment" if victim_role == "orders" else "orders"
    try:
        # somewhere in the middle, and surely once: relay and receipts pass their places once for a batch, which may hold all
        share = 1.0 if place.startswith(("relay", "receipts")) else 0.5
        victim = run(victim_role, f"{place}=kill@{share}")
        run(other_role)
        assert victim.wait() == -signal.SIGKILL, victim.output()
        run(victim_role)
        eventually(lambda: effects_in(fulfillment) == list(range(COUNT)), f"all {COUNT} effects once")
        eventually(lambda: not _open_rows(orders), "all rows settled")
    except AssertionError as error:
        raise AssertionError("\n".join(process.output()[-2000:] for process in processes)) from error
    finally:
        for process in processes:
            process.end()
        nsqd.end()
        for database in databases:
            database.close()
    assert effects_in_closed(urls[1]) == list(range(COUNT))


def _open_rows(database: Database) -> int:
    return sum(1 for row in rows_of(database, outbox) if row.settled_at is None)


def effects_in_closed(url: str) -> list[int]:
    database = Database(url)
    try:
        return effects_in(database)
    finally:
        database.close()


def test_failpoints_are_read_and_mistakes_named() -> None:
    try:
        read_failpoints("before_commit=raise, after_claim=sleep:0")
        failpoints.hit("after_claim")
        with pytest.raises(FailpointError, match="before_commit"):
            failpoints.hit("before_commit")
        read_failpoints("before_commit=raise@0")
        failpoints.hit("before_commit")
        for text in ("before_commit", "before_commit=explode", "before_commit=kill@often", "before_commit=sleep:x"):
            with pytest.raises(ConfigurationError, match="write name=kill"):
                read_failpoints(text)
        with pytest.raises(ConfigurationError, match="known are"):
            read_failpoints("nowhere=kill")
    finally:
        for place in PLACES:
            set_failpoint(place, None)
