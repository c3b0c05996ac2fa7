"""What services tell while their broker is slow, away or started anew, and of several processes that sign."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import pytest

from eventbus import Bus, Event, Retry, Service
from eventbus.outcomes import Record, Telling, listen
from eventbus.outcomes import telling as telling_module
from eventbus.settings import BusSettings
from tests.cli.kit import Shop
from tests.nsqd import Nsqd, Process
from tests.peers import Proxy
from tests.signing.keys import write_keys
from tests.waiting import eventually, stays

QUICK = "reconnect_ceiling=0.5&heartbeat=1"


class Placed(Event, topic="shop_placed", version=1):
    number: int
    seconds: float = 0.0


Ends = Callable[[Any], Any]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Takes what is to be ended when the test is over, the last first."""
    with ExitStack() as stack:

        def take(thing: Any) -> Any:
            stack.callback(next(getattr(thing, name) for name in ("end", "close", "stop") if hasattr(thing, name)))
            return thing

        yield take


class Told:
    """Listens, and keeps what it is told."""

    def __init__(self, bus: Bus, ends: Ends) -> None:
        self.records: list[Record] = []
        self.dropped = 0
        self.listening = ends(listen(bus, self._take, "page"))

    def _take(self, batch: Any) -> None:
        self.records += batch.records
        self.dropped += batch.dropped

    def subjects(self, instance: str = "") -> set[str | None]:
        return {each.subject for each in self.records if each.outcome == "handled" and each.instance.endswith(instance)}


def telling_bus(url: str, service: Service, ends: Ends, settings: BusSettings | None = None) -> tuple[Bus, Telling]:
    telling = Telling()
    bus: Bus = ends(Bus(url, source=service.name, middleware=[telling], settings=settings))
    bus.attach(telling)
    bus.start(service)
    return bus, telling


def counting() -> tuple[Service, list[int]]:
    service = Service("shopper")
    handled: list[int] = []
    service.on(Placed)(lambda event: handled.append(event.number))
    return service, handled


@pytest.mark.nsqd
@pytest.mark.parametrize("fault", ["silent", "killed"])
def test_where_outcomes_cannot_be_published_handlers_go_on_and_it_is_told_later(ends: Ends, fault: str) -> None:
    events, outcomes = ends(Nsqd()), ends(Nsqd())
    proxy = ends(Proxy(outcomes.tcp))
    service, handled = counting()
    # events come from one nsqd, and what is told of them goes to the other one
    bus, telling = telling_bus(f"{events.url}&{QUICK}&publish={proxy.address}", service, ends)
    page = ends(Bus(f"nsq+direct://{events.tcp},{outcomes.tcp}?http={events.http},{outcomes.http}&{QUICK}", source="page"))
    publisher = ends(Bus(events.url, source="shop"))
    told = Told(page, ends)
    eventually(lambda: telling.is_on, "the call of a listener")
    publisher.publish(Placed(number=0), subject="before")
    eventually(lambda: told.subjects() == {"before"}, "what was told before")

    if fault == "silent":
        proxy.is_silent = True
    else:
        outcomes.kill()
    for number in range(1, 501):
        publisher.publish(Placed(number=number))
        gevent.sleep(0.001)
    eventually(lambda: len(handled) == 501, "all are handled")
    eventually(lambda: telling.dropped > 0, "what is not told is counted")

    proxy.is_silent = False
    if fault == "killed":
        outcomes.start()

    def is_heard_again() -> bool:
        publisher.publish(Placed(number=-1), subject="after")
        gevent.sleep(0.5)
        return "after" in told.subjects()

    eventually(is_heard_again, "what is told afterwards")
    eventually(lambda: told.dropped > 0, "word of what was left out")
    bus.stop()


def test_a_stop_waits_no_longer_for_many_records_than_for_one(monkeypatch: pytest.MonkeyPatch, ends: Ends) -> None:
    monkeypatch.setattr(telling_module, "_EVERY", 3600.0)  # all that is told waits for the stop
    service, handled = counting()
    # its channel takes one message, and then none: each publish waits for its time limit
    bus, telling = telling_bus("memory://?max_depth=1", service, ends)
    told = Told(bus, ends)
    eventually(lambda: telling.is_on, "the call of a listener")
    for number in range(4000):
        bus.publish(Placed(number=number))
    eventually(lambda: len(handled) == 4000, "all are handled")
    bus.engine.pause("eventbus.outcomes#ephemeral")
    began = time.monotonic()
    telling.stop(2.0)
    # sixteen batches; each with two seconds of its own would be thirty, however fast the machine is
    assert 1.0 < time.monotonic() - began < 20.0
    assert telling.dropped > 3000
    assert not told.records


def test_odd_names_take_no_other_record_with_them(ends: Ends) -> None:
    odd = "a\nb\x1b[2J\ud800" + "x" * 1000
    service = Service("shopper")

    @service.on(Placed, retry=Retry(attempts=2, first=1e15, ceiling=1e15))
    def fail(event: Placed) -> None:
        raise type("Odd\n" + "y" * 1000, (Exception,), {})

    bus, telling = telling_bus("memory://", service.replica(odd), ends)
    told = Told(bus, ends)
    eventually(lambda: telling.is_on, "the call of a listener")
    bus.publish(Placed(number=1))
    eventually(lambda: told.records, "the record")
    (record,) = told.records
    assert told.listening.refused == 0
    assert record.instance.startswith(r"a\nb\x1b[2J\ud800xxx") and len(record.instance) == 255
    assert record.error is not None and record.error.startswith(r"Odd\nyyy")
    assert record.again is not None and record.again > time.time() + 300 * 86400


@pytest.mark.nsqd
def test_signed_workers_tell_and_go_on_after_a_restart(tmp_path: Path, ends: Ends) -> None:
    """Two processes, each with its own name; whoever has no key is neither heard nor believed."""
    nsqd = ends(Nsqd())
    keys = []
    for each in ("shop", "page", "shopper"):
        secret = base64.b64encode(each.encode() * 8).decode()
        keys.append(f'[keys.{each}]\nsecret = "{secret}"\nsources = ["{each}"]\nchannels = ["{each}"]\n')

    def settings(name: str) -> BusSettings:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return BusSettings(sign="require", keys_file=str(write_keys(folder, name, *keys)))

    url = f"{nsqd.url}&{QUICK}"
    signed = {"EVENTBUS_SIGN": "require", "EVENTBUS_KEYS_FILE": str(settings("shopper").keys_file)}
    shop = Shop(tmp_path)
    running: Process = ends(shop.start("run", "shop:service", "--workers", "2", EVENTBUS_URL=url, **signed))
    eventually(lambda: running.output().count("running on") == 2, "both workers")
    stranger = Told(ends(Bus(url, source="page")), ends)
    publisher = ends(Bus(url, source="shop", settings=settings("shop")))
    publisher.publish(Placed(number=100), subject="unheard")
    eventually(lambda: shop.handled == [100], "an event that nobody is told of")
    stays(lambda: not stranger.records, 3.0, "a stranger's call unheard")

    told = Told(ends(Bus(url, source="page", settings=settings("page"))), ends)

    def are_told(subject: str) -> Callable[[], bool]:
        def ask() -> bool:
            publisher.publish_all([Placed(number=200, seconds=0.01) for _ in range(4)])
            publisher.publish(Placed(number=200, seconds=0.2), subject=subject)
            gevent.sleep(0.5)
            return subject in told.subjects("/1") and subject in told.subjects("/2")

        return ask

    eventually(are_told("before"), "records of both workers")
    stranger.listening.close()
    forged = Service("forged")
    forged.on(Placed)(lambda event: None)
    _, unsigned = telling_bus(url, forged, ends)
    eventually(lambda: unsigned.is_on, "one that believes everybody")

    def is_refused() -> bool:
        publisher.publish(Placed(number=300), subject="forged")
        gevent.sleep(0.5)
        return told.listening.refused > 0

    eventually(is_refused, "a batch that is not believed")
    assert not any(each.service == "forged" for each in told.records)
    nsqd.kill()
    nsqd.start()
    eventually(are_told("after"), "records of both workers after a restart")
    assert {each.service for each in told.records} == {"shopper"}
