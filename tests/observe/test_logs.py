from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote

import gevent
import pytest
import structlog
from pydantic import field_validator

from eventbus import Backoff, Bus, Context, Event, Outcome, Reject, Retry, RetryLater, Service
from eventbus.errors import ConfigurationError
from eventbus.middleware import Middleware
from eventbus.observe.logs import RepeatFilter, configure_logs
from eventbus.runtime.redaction import one_line
from eventbus.settings import BusSettings
from tests.waiting import eventually

CANARY = "canary.person@example.org"


class Registered(Event, topic="registered", version=1):
    email: str
    note: str = ""


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@contextmanager
def lines(format: str = "json", level: str = "info") -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logs(format=format, level=level, stream=stream)  # type: ignore[arg-type]
    yield stream


def run(
    handler: object,
    events: list[Event],
    outcomes: int,
    *,
    kind: type[Event] | None = None,
    middleware: Sequence[Middleware] = (),
    settings: BusSettings | None = None,
    **policy: object,
) -> None:
    service = Service("greeter", backoff=Backoff(after=0))
    service.on(kind or Registered, **policy)(handler)  # type: ignore[call-overload]
    with Bus("memory://", source="test", middleware=middleware, settings=settings) as bus:
        bus.start(service)
        bus.publish_all(events)
        dispatcher = bus.dispatchers[0]
        eventually(lambda: dispatcher.handled + sum(dispatcher.counts.values()) >= outcomes)


def test_one_json_line_for_each_outcome_that_matters_with_its_fields() -> None:
    seen = 0

    def handle(event: Registered) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            raise ValueError("broken")
        if seen == 2:
            raise RetryLater(after=0.0)
        raise Reject("enough")

    with lines() as stream:
        run(handle, [Registered(email=CANARY)], 3, retry=Retry(attempts=5, first=0.001))
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    outcomes = {each["outcome"]: each for each in told if "outcome" in each}
    assert set(outcomes) == {"retried", "postponed", "parked"}
    parked = outcomes["parked"]
    assert parked["level"] == "error"
    assert (parked["topic"], parked["channel"], parked["event_type"], parked["attempt"]) == (
        "registered",
        "greeter",
        "Registered",
        3,
    )
    assert parked["event_id"] == parked["correlation_id"]
    assert parked["timestamp"].endswith("Z")
    assert outcomes["retried"]["error_type"] == "ValueError"


def test_a_line_for_each_event_only_at_debug_level() -> None:
    with lines(level="debug") as stream:
        service = Service("greeter")
        service.on(Registered)(lambda event: None)
        with Bus("memory://") as bus:
            bus.start(service)
            gevent.sleep(0.12)  # a tick looks at the level
            bus.publish(Registered(email=CANARY))
            eventually(lambda: bus.dispatchers[0].handled == 1)
    assert '"outcome": "handled"' in stream.getvalue()
    with lines() as stream:
        run(lambda event: None, [Registered(email=CANARY)], 1)
    assert "handled" not in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_data_of_the_event_above_debug_level(format: str) -> None:
    def handle(event: Registered) -> None:
        raise ValueError(f"cannot greet {event.email}: {event!r}")

    with lines(format) as stream:
        run(handle, [Registered(email=CANARY, note="a secret note")], 1, retry=Retry(attempts=1))
    assert "attempts used up: 1: ValueError (test_logs.py:" in stream.getvalue()
    assert "cannot greet" not in stream.getvalue()
    assert CANARY not in stream.getvalue()
    assert "secret" not in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_line_holds_what_an_error_a_reason_or_a_validator_quotes(format: str) -> None:
    class Odd(Event, topic="registered", name="Registered"):
        email: str

        @field_validator("email")
        @classmethod
        def is_known(cls, value: str) -> str:
            raise ValueError(f"nobody is called {value.upper()}")

    class Loud(Middleware):
        def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
            raise RuntimeError(f"cannot take {context.envelope.data}")

    def fail(event: Registered) -> None:
        try:
            raise ValueError(quote(event.email, safe=""))
        except ValueError as cause:
            raise RuntimeError(event.email.lower()) from cause

    def reject(event: Registered) -> None:
        raise Reject(f"no account for {event.email[:12]}")

    for handle, kind in ((fail, Registered), (reject, Registered), (lambda event: None, Odd)):
        with lines(format) as stream:
            run(handle, [Registered(email=CANARY)], 1, retry=Retry(attempts=1), middleware=[Loud()], kind=kind)
        told = stream.getvalue().lower()
        assert "parked" in told
        assert not any(part in told for part in (CANARY.lower(), CANARY[:12].lower(), quote(CANARY, safe="").lower()))


def test_texts_are_told_where_that_is_wanted() -> None:
    def handle(event: Registered) -> None:
        raise ValueError("the mail server is full")

    with lines() as stream:
        run(handle, [Registered(email=CANARY)], 1, retry=Retry(attempts=1), settings=BusSettings(log_errors="full"))
    assert "ValueError: the mail server is full (test_logs.py:" in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_newlines_in_data_forge_no_line(format: str) -> None:
    forged = "x\n2026-01-31T00:00:00Z [error] all is lost\r\u2028\x1b[31mred"

    def handle(event: Registered) -> None:
        raise ValueError(f"bad: {forged}")

    with lines(format) as stream:
        logging.getLogger("mine").warning("told %s", forged)
        structlog.get_logger("mine").warning("told", what=forged)
        run(handle, [Registered(email=CANARY)], 1, retry=Retry(attempts=1), settings=BusSettings(log_errors="full"))
    text = stream.getvalue()
    assert len(text.splitlines()) == 3
    assert "\x1b[31mred" not in text
    assert text.count("all is lost") == 3


def test_the_library_forges_no_line_without_structlog_either() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)

    def handle(event: Registered) -> None:
        raise ValueError("one\ntwo")

    run(handle, [Registered(email=CANARY)], 1, retry=Retry(attempts=1))
    assert len(stream.getvalue().splitlines()) == 1


def test_a_failure_that_repeats_is_written_a_few_times_and_then_counted() -> None:
    def handle(event: Registered) -> None:
        raise ValueError(f"failed for {event.email}")

    with lines() as stream:
        run(handle, [Registered(email=f"p{number}@example.org") for number in range(50)], 50, retry=Retry(attempts=1))
    assert 1 <= stream.getvalue().count('"outcome": "parked"') <= 5

    limit = RepeatFilter(repeats=2, interval=0.0)
    limited = RepeatFilter(repeats=2, interval=3600.0)

    def record() -> logging.LogRecord:
        return logging.LogRecord("mine", logging.ERROR, "", 0, "failed on %d%%", (5,), None)

    assert [limited.filter(record()) for _ in range(4)] == [True, True, False, False]
    assert all(limit.filter(record()) for _ in range(4))
    now = 100.0
    again = RepeatFilter(repeats=1, interval=30.0, monotonic=lambda: now)
    assert [again.filter(record()) for _ in range(3)] == [True, False, False]
    now += 30.0
    last = record()
    assert again.filter(last)
    assert last.getMessage() == "failed on 5% (and 2 more like this before)"


def test_bound_values_of_structlog_appear() -> None:
    with lines() as stream, structlog.contextvars.bound_contextvars(request="r-1"):
        structlog.get_logger("mine").info("hello", answer=42)
    told = json.loads(stream.getvalue())
    assert (told["event"], told["answer"], told["request"], told["logger"]) == ("hello", 42, "r-1", "mine")


def test_a_wrong_level_or_format_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'loud'.*debug, info"):
        configure_logs(level="loud")
    with pytest.raises(ConfigurationError, match="'xml'"):
        configure_logs(format="xml")  # type: ignore[arg-type]


def test_texts_are_cut_and_escaped() -> None:
    assert one_line("a\nb\x00\u2028") == "a\\nb\\x00\\u2028"
    assert len(one_line("x" * 9999)) == 501
