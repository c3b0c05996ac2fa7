"""A process of the fault tests: publishes numbers and writes each down once it is confirmed, or handles them and does so."""

from __future__ import annotations

import os
import sys

import gevent

from eventbus import Bus, Context, Event, EventBusError, Service


class Numbered(Event, topic="numbered"):
    number: int
    text: str = ""


def publish(url: str, ledger: str, first: str, count: str) -> None:
    out = os.open(ledger, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    left = iter(range(int(first), int(first) + int(count)))
    with Bus(url) as bus:

        def one() -> None:
            for number in left:
                event = Numbered(number=number, text="x" * 300)
                while True:
                    try:
                        bus.publish(event)
                        break
                    except EventBusError:
                        gevent.sleep(0.05)
                os.write(out, b"%d\n" % number)

        gevent.joinall([gevent.spawn(one) for _ in range(16)], raise_error=True)


def handle(url: str, ledger: str, channel: str) -> None:
    out = os.open(ledger, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    service = Service(channel)

    @service.on(Numbered, concurrency=20)
    def note(event: Numbered, context: Context) -> None:
        os.write(out, b"%d\n" % event.number)

    with Bus(url) as bus:
        bus.start(service)
        while True:
            gevent.sleep(60)


if __name__ == "__main__":
    {"publish": publish, "handle": handle}[sys.argv[1]](*sys.argv[2:])
