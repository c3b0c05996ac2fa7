"""A consumer as a process of its own; notes `begin N` and `end N` in a file.

`python -m tests.integration.worker URL TOPIC FILE SECONDS`
"""

from __future__ import annotations

import os
import sys

import gevent

from eventbus import Bus, Service
from eventbus.settings import BusSettings
from eventbus.testing.conformance.kit import numbered


def main(url: str, topic: str, path: str, seconds: float) -> None:
    kind = numbered(topic)
    service = Service("worker")
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @service.on(kind, concurrency=16)
    def handle(event: kind) -> None:  # type: ignore[valid-type]
        os.write(notes, f"begin {event.number}\n".encode())
        gevent.sleep(seconds)
        os.write(notes, f"end {event.number}\n".encode())

    Bus(url, settings=BusSettings(message_timeout=10.0, max_in_flight=50, grace=60.0)).run(service)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
