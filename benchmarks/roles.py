"""Roles: each measured program in a process of its own. `python -m benchmarks.roles ROLE URL ...` prints a figure.

The settings of the bus are the same in all roles: the defaults.
"""

from __future__ import annotations

import json
import resource
import socket as stdlib_socket
import statistics
import struct
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.event
import gevent.socket
import ormsgpack

from benchmarks.order import SERVICE, OrderPlaced, caused, make_order, renew, travelling
from eventbus import Bus, Event, Service
from eventbus.event import event_topic
from eventbus.wire.codec import decode

TOPIC = event_topic(OrderPlaced)


def _address(url: str) -> tuple[str, int]:
    host, _, port = urlsplit(url).netloc.partition(":")
    return host, int(port)


def _body() -> bytes:
    with Bus("memory://", source=SERVICE) as bus:
        return travelling(bus.publisher.envelopes, make_order())


def fill(url: str, count: str) -> None:
    """Publish `count` events in batches, each an event of its own, as an outbox sends them."""
    orders = [make_order() for _ in range(1000)]
    with Bus(url, source=SERVICE) as bus:
        for _ in range(int(count) // 1000):
            bus.publisher.forward(TOPIC, [travelling(bus.publisher.envelopes, order) for order in orders], 60.0)
    print(len(_body()))


def _bus(url: str, observed: str, source: str | None = None) -> Bus:
    """Return a bus; with `observed` one that `eventbus run` would make, with metrics, tracing and logs at info."""
    if not observed:
        return Bus(url, source=source)
    from eventbus.observe import Observation

    observation = Observation(log_format="json", log_level="info")
    bus = Bus(url, source=source, middleware=observation.middleware)
    observation.start(bus)
    return bus


def consume(url: str, count: str, channel: str, seconds: str = "0", concurrency: str = "64", observed: str = "") -> None:
    """Handle `count` typed events, each in `seconds`; print events a second."""
    wanted, pause = int(count), float(seconds)
    service = Service(channel)
    done = gevent.event.Event()
    handled = 0

    @service.on(OrderPlaced, concurrency=int(concurrency))
    def handle(order: OrderPlaced) -> None:
        nonlocal handled
        if pause:
            gevent.sleep(pause)
        handled += 1
        if handled == wanted:
            done.set()

    bus = _bus(url, observed)
    began = time.perf_counter()
    bus.start(service)
    done.wait()
    print(wanted / (time.perf_counter() - began))
    bus.stop()


def backlog(url: str, count: str, channel: str) -> None:
    """Handle events while the backlog is deep; print the most memory in MiB."""
    consume(url, count, channel)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def codec(url: str, count: str) -> None:
    """Decode and validate alone; print events a second."""
    body, validate = _body(), OrderPlaced.__pydantic_validator__.validate_python
    began = time.perf_counter()
    for _ in range(int(count)):
        validate(decode(body).data, extra="ignore")
    print(int(count) / (time.perf_counter() - began))


def unpack(url: str, count: str) -> None:
    """Unpack by the fastest library and validate alone, with no limit looked at; print events a second."""
    body, validate = _body(), OrderPlaced.__pydantic_validator__.validate_python
    began = time.perf_counter()
    for _ in range(int(count)):
        validate(ormsgpack.unpackb(body)["data"], extra="ignore")
    print(int(count) / (time.perf_counter() - began))


def publish(url: str, count: str, greenlets: str, observed: str = "") -> None:
    """Publish typed events, each confirmed, from so many greenlets; print events a second."""
    orders = [make_order() for _ in range(1000)]
    each = int(count) // int(greenlets)
    with caused(), _bus(url, observed, SERVICE) as bus:
        bus.publish(make_order())

        def run(start: int) -> None:
            for number in range(each):
                bus.publish(renew(orders[(start + number) % 1000]))

        began = time.perf_counter()
        gevent.joinall([gevent.spawn(run, number) for number in range(int(greenlets))], raise_error=True)
        print(int(count) / (time.perf_counter() - began))


def publish_all(url: str, count: str, size: str) -> None:
    """Publish typed events, so many at a time, each call confirmed; print events a second."""
    orders = [make_order() for _ in range(int(size))]
    with caused(), Bus(url, source=SERVICE) as bus:
        bus.publish(make_order())
        began = time.perf_counter()
        for _ in range(int(count) // len(orders)):
            bus.publish_all([renew(order) for order in orders])
        print(int(count) / (time.perf_counter() - began))


def bare_socket(url: str, count: str) -> None:
    """A gevent socket that sends PUB and waits for OK, and nothing else; print messages a second."""
    body = _body()
    frame = f"PUB {TOPIC}\n".encode() + struct.pack(">i", len(body)) + body
    socket: Any = gevent.socket.create_connection(_address(url))
    socket.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
    socket.sendall(b"  V2")
    began = time.perf_counter()
    for _ in range(int(count)):
        socket.sendall(frame)
        assert socket.recv(64)[8:] == b"OK"
    print(int(count) / (time.perf_counter() - began))


class Ping(Event, topic="bench_ping"):
    """Carries the time at which it was published."""

    at: float
    text: str = "x" * 200


def latency(url: str) -> None:
    """One event at a time, and bursts of 50 each 50 ms; print milliseconds as JSON."""
    service = Service("bench")
    arrived = gevent.event.Event()
    seconds: list[float] = []

    @service.on(Ping)
    def handle(ping: Ping) -> None:
        seconds.append(time.perf_counter() - ping.at)
        arrived.set()

    found: dict[str, float] = {}

    def note(name: str) -> None:
        seconds.sort()
        found[f"{name} p50"] = statistics.median(seconds) * 1000
        found[f"{name} p99"] = seconds[int(len(seconds) * 0.99)] * 1000
        seconds.clear()

    with Bus(url, source="bench") as bus:
        bus.start(service)
        bus.publish(Ping(at=time.perf_counter()))
        arrived.wait()
        seconds.clear()
        for _ in range(1000):
            arrived.clear()
            bus.publish(Ping(at=time.perf_counter()))
            arrived.wait()
            gevent.sleep(0.002)
        note("one at a time")
        for _ in range(100):
            bus.publish_all([Ping(at=time.perf_counter()) for _ in range(50)])
            gevent.sleep(0.05)
        gevent.sleep(0.2)
        note("bursts of 50")
    print(json.dumps(found))


def many(url: str, topics: str, channels: str) -> None:
    """So many topics with so many channels in one process; print memory in MiB and CPU seconds a second, idle, as JSON."""
    services = []
    for number in range(int(topics)):
        kind = type(f"Kind{number}", (Event,), {}, topic=f"bench_many_{number}")
        for channel in range(int(channels)):
            service = Service(f"channel{channel}")
            service.on(kind)(lambda event: None)
            services.append(service)
    with Bus(url) as bus:
        bus.start(*services)
        gevent.sleep(2)
        before, began = time.process_time(), time.perf_counter()
        gevent.sleep(5)
        cpu = (time.process_time() - before) / (time.perf_counter() - began)
        print(json.dumps({"MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "cpu": cpu}))


def gnsq_consume(url: str, count: str, channel: str) -> None:
    """gnsq, raw, with a handler that does nothing."""
    import gnsq

    wanted, handled = int(count), 0
    host, port = _address(url)
    consumer = gnsq.Consumer(TOPIC, channel, nsqd_tcp_addresses=[f"{host}:{port}"], max_in_flight=2500)
    done = gevent.event.Event()

    @consumer.on_message.connect
    def handle(consumer: Any, message: Any) -> None:
        nonlocal handled
        handled += 1
        if handled == wanted:
            done.set()

    began = time.perf_counter()
    consumer.start(block=False)
    done.wait()
    print(wanted / (time.perf_counter() - began))


def gnsq_publish(url: str, count: str, greenlets: str) -> None:
    """gnsq, raw, each confirmed."""
    import gnsq

    host, port = _address(url)
    producer = gnsq.Producer(nsqd_tcp_addresses=[f"{host}:{port}"])
    producer.start()
    body, each = _body(), int(count) // int(greenlets)

    def run() -> None:
        for _ in range(each):
            producer.publish(TOPIC, body)

    began = time.perf_counter()
    gevent.joinall([gevent.spawn(run) for _ in range(int(greenlets))], raise_error=True)
    print(int(count) / (time.perf_counter() - began))


def pynsq_consume(url: str, count: str, channel: str) -> None:
    """pynsq, raw, with a handler that does nothing; needs the bench group."""
    import nsq
    import tornado.ioloop

    wanted, handled = int(count), 0
    began = time.perf_counter()

    def handle(message: Any) -> bool:
        nonlocal handled
        handled += 1
        if handled == wanted:
            print(wanted / (time.perf_counter() - began), flush=True)
            tornado.ioloop.IOLoop.current().stop()
        return True

    host, port = _address(url)
    nsq.Reader(
        message_handler=handle, nsqd_tcp_addresses=[f"{host}:{port}"], topic=TOPIC, channel=channel, max_in_flight=2500
    )
    nsq.run()


ROLES: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (
        *(fill, consume, backlog, codec, unpack, publish, publish_all, bare_socket, latency, many),
        *(gnsq_consume, gnsq_publish, pynsq_consume),
    )
}

if __name__ == "__main__":
    if sys.argv[1].startswith(("gnsq", "many")):
        from gevent import monkey

        monkey.patch_all()
    ROLES[sys.argv[1]](*sys.argv[2:])
