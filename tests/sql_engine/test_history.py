"""The past: channels that begin with it, and replays beside what is new, on both databases."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import gevent
import pytest

from eventbus import Bus, ConfigurationError, Service
from tests.sql_engine.worker import Numbered
from tests.waiting import eventually, stays


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    """The URL of a new bus, on each database in turn."""
    return str(request.getfixturevalue("url" if request.param == "sqlite" else "database"))


def _service(name: str, seen: list[int], **options: object) -> Service:
    service = Service(name, **options)  # type: ignore[arg-type]
    service.on(Numbered, concurrency=10)(lambda event: seen.append(event.number))
    return service


def _eventbus(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command while the hub of this process goes on."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "eventbus.cli", *arguments], capture_output=True, text=True, timeout=120
        )

    done: subprocess.CompletedProcess[str] = gevent.get_hub().threadpool.apply(run)
    return done


def test_a_new_service_gets_the_past_and_then_what_is_new_and_each_once(place: str) -> None:
    """A thousand events a second flow while it starts: none is lost between past and present, and none comes twice."""
    old: list[int] = []
    seen: list[int] = []
    published = 0
    with Bus(place) as bus:
        bus.start(_service("old", old))
        bus.publish_all([Numbered(number=number) for number in range(1000)])
        published = 1000
        is_over = False

        def flow() -> None:
            nonlocal published
            while not is_over:
                bus.publish_all([Numbered(number=published + number) for number in range(10)])
                published += 10
                gevent.sleep(0.01)

        flowing = gevent.spawn(flow)
        gevent.sleep(0.3)
        bus.start(_service("new", seen, begin="earliest"))
        eventually(lambda: len(seen) > 1500)
        is_over = True
        flowing.get(timeout=30)
        eventually(lambda: len(seen) >= published and len(old) >= published)
        stays(lambda: len(seen) == published, 0.3)
        assert sorted(seen) == list(range(published))


def test_a_new_service_begins_at_an_instant(place: str) -> None:
    seen: list[int] = []
    with Bus(place) as bus:
        bus.declare(_service("old", []))
        bus.publish_all([Numbered(number=number) for number in range(50)])
        time.sleep(0.05)
        instant = datetime.now(UTC)
        time.sleep(0.05)
        bus.publish_all([Numbered(number=number) for number in range(50, 60)])
        bus.start(_service("new", seen, begin=instant))
        eventually(lambda: sorted(seen) == list(range(50, 60)))
        stays(lambda: len(seen) == 10, 0.2)


def test_without_a_beginning_a_second_channel_begins_at_the_end_and_a_known_one_stays(place: str) -> None:
    seen: list[int] = []
    with Bus(place) as bus:
        bus.declare(_service("old", []))
        bus.publish(Numbered(number=1))
        bus.start(_service("new", seen))
        bus.publish(Numbered(number=2))
        eventually(lambda: seen == [2])
    with Bus(place) as bus:
        bus.start(_service("new", seen, begin="earliest"))
        stays(lambda: seen == [2], 0.3)


@pytest.mark.parametrize("begin", ["soon", "2026-11-01", datetime(2026, 1, 1), 7])
def test_a_beginning_that_is_none_is_told(begin: object) -> None:
    with pytest.raises(ConfigurationError, match="give 'earliest' or an instant with its zone"):
        Service("new", begin=begin)  # type: ignore[arg-type]


def test_a_beginning_in_the_future_or_without_a_log_is_told(url: str) -> None:
    with Bus(url) as bus, pytest.raises(ConfigurationError, match="cannot begin in the future"):
        bus.start(_service("new", [], begin=datetime.now(UTC) + timedelta(hours=1)))
    with Bus("memory://") as bus, pytest.raises(ConfigurationError, match="memory:// keeps no past events"):
        bus.start(_service("new", [], begin="earliest"))


def test_a_replay_reaches_its_channel_alone_beside_what_is_new(place: str) -> None:
    one: list[int] = []
    two: list[int] = []
    with Bus(place) as bus:
        bus.start(_service("one", one), _service("two", two))
        bus.publish_all([Numbered(number=number) for number in range(30)])
        eventually(lambda: len(one) == len(two) == 30)
        done = _eventbus("replay", "numbered", "--to", "one", "--type", "Numbered", "--rate", "1000", "--bus", place)
        assert done.returncode == 0, done.stderr
        assert "30 events of numbered for one" in done.stderr + done.stdout
        assert "30 replayed" in done.stderr + done.stdout
        bus.publish(Numbered(number=30))
        eventually(lambda: len(one) == 61)
        assert sorted(one) == sorted([*range(30), *range(30), 30])
        stays(lambda: len(two) == 31, 0.2)


def test_a_dry_run_says_how_many_and_changes_nothing(url: str) -> None:
    seen: list[int] = []
    with Bus(url) as bus:
        bus.start(_service("one", seen))
        for number in range(5):
            bus.publish(Numbered(number=number))
        eventually(lambda: len(seen) == 5)
        for arguments, said in (
            ((), "5 events"),
            (("--type", "Other"), "0 events"),
            (("--until", "1h"), "0 events"),
            (("--since", "1h"), "5 events"),
        ):
            done = _eventbus("replay", "numbered", "--to", "one", "--dry-run", "--bus", url, *arguments)
            assert (done.returncode, said in done.stdout + done.stderr) == (0, True), done
        stays(lambda: len(seen) == 5, 0.3)


def test_what_cannot_be_replayed_is_told(url: str) -> None:
    with Bus(url) as bus:
        bus.declare(_service("one", []))
        for arguments, said in (
            (("replay", "numbered", "--to", "nobody", "--bus", url), "no channel 'nobody'"),
            (("replay", "nothing", "--to", "one", "--bus", url), "no channel 'one' on topic 'nothing'"),
            (("replay", "numbered", "--to", "one", "--since", "soon", "--bus", url), "--since soon"),
        ):
            done = _eventbus(*arguments)
            assert done.returncode == 2 and said in done.stderr, done


def test_an_interrupted_replay_goes_on_behind_what_it_did(url: str) -> None:
    seen: list[int] = []
    with Bus(url) as bus:
        bus.start(_service("one", seen))
        bus.publish_all([Numbered(number=number) for number in range(20)])
        eventually(lambda: len(seen) == 20)
        third = bus.engine.past("numbered", after=0, since=None, until=None, most=3, most_bytes=1 << 20)[-1].position  # type: ignore[attr-defined]
        done = _eventbus("replay", "numbered", "--to", "one", "--after", str(third), "--bus", url)
        assert "17 replayed" in done.stdout + done.stderr, done
        eventually(lambda: sorted(seen) == sorted([*range(20), *range(3, 20)]))


def test_the_doctor_names_a_channel_that_nobody_reads(url: str) -> None:
    with Bus(url) as bus:
        bus.declare(_service("asleep", []))
        bus.publish_all([Numbered(number=number) for number in range(5)])
        done = _eventbus("doctor", "--bus", url, "--watch", "0.1")
    assert "5 messages of numbered/asleep are kept for as long as nobody reads them" in done.stdout.replace(
        "\n        ", " "
    )
    assert "eventbus empty numbered asleep" in done.stdout
