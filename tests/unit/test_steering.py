"""What an envelope says of its own way is followed within limits, and what follows of it is said."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from eventbus import Event, Outcome, RetryLater, Service
from eventbus.errors import EncodeError
from eventbus.testing import Harness
from eventbus.wire.limits import LONGEST_WAIT
from tests.waiting import PATIENCE

DAY = 86400.0


class Noted(Event, topic="noted"):
    number: int


def services(ran: list[str]) -> tuple[Service, Service]:
    made = Service("fulfillment"), Service("email")

    @made[0].on(Noted)
    def ship(event: Noted) -> None:
        ran.append("fulfillment")

    @made[1].on(Noted)
    def write(event: Noted) -> None:
        ran.append("email")

    return made


def put(harness: Harness, **attributes: object) -> None:
    """Publish bytes as another program does."""
    tree = {"specversion": "1.0", "id": "i", "source": "s", "type": "Noted", "data": {"number": 1}, **attributes}
    harness.engine.publish("noted", json.dumps(tree).encode(), delay=0.0, timeout=PATIENCE)


@pytest.mark.parametrize("due", ["9999-01-01T00:00:00Z", "2030-01-01T00:00:00Z"])
def test_what_is_due_in_years_is_parked_with_the_reason(due: str) -> None:
    ran: list[str] = []
    with Harness(*services(ran)) as harness:
        put(harness, deliverat=due)
        harness.settle(timeout=PATIENCE)
        letters = harness.dead_letters()
        assert ran == []
        assert len(letters) == 2
        assert all(letter.reason.startswith("due in ") and "400 are waited for" in letter.reason for letter in letters)
        harness.bus.dead_letters("noted", "email").replay()
        harness.settle(timeout=PATIENCE)
        assert ran == ["email"], "whoever replays it wants it now"


def test_what_is_due_within_the_limit_comes_at_its_time() -> None:
    ran: list[str] = []
    with Harness(*services(ran)[:1]) as harness:
        harness.publish(Noted(number=1), delay=20 * DAY)
        harness.advance(19.9 * DAY, timeout=PATIENCE)
        assert ran == []
        harness.advance(0.2 * DAY, timeout=PATIENCE)
        assert ran == ["fulfillment"]


def test_a_publisher_whose_clock_is_ahead_may_use_the_whole_limit() -> None:
    with Harness(*services([])[:1]) as harness:
        due = datetime.fromtimestamp(harness.clock.time() + LONGEST_WAIT + 3600.0, UTC)
        put(harness, deliverat=due.isoformat())
        harness.advance(7200.0, timeout=PATIENCE)
        assert harness.dead_letters() == []
        assert harness.outcomes(Outcome.EARLY) > 1


def test_no_event_is_published_for_a_time_that_nobody_waits_for() -> None:
    with Harness() as harness:
        ahead = datetime.fromtimestamp(harness.clock.time(), UTC) + timedelta(days=401)
        with pytest.raises(EncodeError, match="waits 400 days at most"):
            harness.publish(Noted(number=1), deliver_at=ahead)
        with pytest.raises(EncodeError, match="in a table of your own"):
            harness.publish(Noted(number=1), delay=LONGEST_WAIT + 1.0)
        assert harness.published(Noted) == []


def test_a_handler_that_asks_for_more_gets_the_longest_wait() -> None:
    service = Service("patient")

    @service.on(Noted)
    def later(event: Noted) -> None:
        raise RetryLater(after=1e12)

    with Harness(service) as harness:
        harness.publish(Noted(number=1))
        harness.advance(2 * DAY, timeout=PATIENCE)
        assert harness.dead_letters() == []
        assert harness.outcomes(Outcome.EARLY) > 1, "it goes round once an hour"


def test_copies_for_others_are_counted_and_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []
    caplog.set_level(logging.INFO, logger="eventbus.outcome")

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.outcome == "skipped"]  # type: ignore[attr-defined]

    with Harness(*services(ran)) as harness:
        for _ in range(50):
            put(harness, replayfor="email")
        harness.settle(timeout=PATIENCE)
        assert ran == ["email"] * 50
        assert harness.outcomes(Outcome.SKIPPED, by="fulfillment") == 50
        assert len(lines()) == 1
        assert "noted/fulfillment" in lines()[0] and "meant for email alone" in lines()[0]
        harness.advance(61.0, timeout=PATIENCE)
        put(harness, replayfor="email")
        harness.settle(timeout=PATIENCE)
        assert len(lines()) == 2
        assert "the last of 50 since" in lines()[1]
