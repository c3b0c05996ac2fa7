"""The command `eventbus publish`: events from a command line, a file or a pipe, checked before they are sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Annotated, Any

import typer
from gevent.hub import get_hub
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from eventbus.bus import Bus
from eventbus.cli.options import BusUrl, Contracts, Topic
from eventbus.cli.session import FAILED, complain, complaints, connected, reported, say
from eventbus.contracts.data import DataCheck, choose_contract
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.targets import attribute_of
from eventbus.delivery.routes import first_fault
from eventbus.errors import ConfigurationError, EncodeError, MisfitError, PublishError
from eventbus.event import Event, event_topic
from eventbus.names import check_name
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter, new_id

app = typer.Typer(add_completion=False)

_BATCH = 200
_PATIENCE = 0.2
"""Seconds after which what was read is sent, although more may come."""
_MOST_COMPLAINTS = 20


@dataclass(frozen=True, slots=True)
class Options:
    """How each document becomes an event."""

    topic: str
    event: str | None
    type_name: str | None
    version: int | None
    contracts: str
    subject: str | None
    delay: float


@app.command()
def publish(
    topic: Topic,
    what: Annotated[str, typer.Argument(metavar="JSON|-|@FILE", help="The event's data; - reads lines, @FILE a file.")],
    event: Annotated[str | None, typer.Option("--event", help="Event class as module:Class, instead of a contract.")] = None,
    type_name: Annotated[str | None, typer.Option("--type", help="Type, where several travel on the topic.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Version of the contract; the newest unless given.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Publish the bytes as they are.")] = False,
    subject: Annotated[str | None, typer.Option(help="What the event is about, as an order's id.")] = None,
    delay: Annotated[float, typer.Option(min=0.0, help="Seconds before which nobody gets it.")] = 0.0,
    contracts: Contracts = "contracts",
    bus: BusUrl = None,
) -> None:
    """Publish an event, or one for each line of standard input, by its published contract or its class.

    Prints the event's id once the broker has confirmed it. Of lines it says how many were confirmed; those that are no valid
    event are named and left out, and exit code 1 says that there were some.

    Example: eventbus publish orders_placed @order.json --bus nsq://127.0.0.1:4161
    """
    with reported("publish"):
        check_name(topic, kind="topic")
        options = Options(topic, event, type_name, version, contracts, subject, delay)
        with connected(bus, may_be_private=True) as open_bus:
            publisher = _Publisher(open_bus, options, is_raw=raw)
            if what == "-":
                _publish_lines(publisher, sys.stdin.buffer)
            elif what.startswith("@"):
                content = _read_file(Path(what[1:]))
                if raw or _is_one_document(content):
                    publisher.publish_one(content)
                else:
                    _publish_lines(publisher, content.splitlines(keepends=True))
            else:
                publisher.publish_one(what.encode())


def _publish_lines(publisher: _Publisher, source: Iterable[bytes]) -> None:
    sent, refused = publisher.publish_lines(_lines(source))
    complain(f"{sent:,} published, {refused:,} refused", style="red" if refused else "green")
    if refused:
        raise typer.Exit(FAILED)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None


def _is_one_document(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return len(content.splitlines()) < 2  # one that is wrong is told as such
    return True


def _lines(source: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield the lines, and None whenever the next one lets us wait: what came must not wait for what may never come.

    A thread of the pool waits for them, so that the bus goes on meanwhile.
    """
    lines = iter(source)
    pool = get_hub().threadpool
    while True:
        coming = pool.spawn(next, lines, None)
        if not coming.wait(_PATIENCE):
            yield None
        line = coming.get()
        if line is None:
            return
        yield line


class _Publisher:
    """Makes events of documents and publishes them."""

    def __init__(self, bus: Bus, options: Options, *, is_raw: bool) -> None:
        self._bus = bus
        self._options = options
        self._write = InstantWriter().write
        self._make: Callable[[bytes], Envelope] | None = None
        if is_raw:
            return
        if options.event is not None:
            self._event_type = self._class(options.event)
            self._make = self._by_class
        else:
            self._contract = choose_contract(
                load_contracts(options.contracts), options.topic, options.type_name, options.version
            )
            self._check = DataCheck(self._contract)
            self._make = self._by_contract

    def publish_one(self, document: bytes) -> None:
        """Publish one document; print its id."""
        identity, body = self._message(document)
        self._send([body])
        say(identity)

    def publish_lines(self, lines: Iterable[bytes | None]) -> tuple[int, int]:
        """Publish one event for each line; return how many were confirmed and how many refused."""
        sent = refused = 0
        batch: list[bytes] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        number = 0
        try:
            with Progress(*columns, console=complaints, disable=not complaints.is_terminal) as progress:
                task = progress.add_task("published", total=None)
                for line in lines:
                    if line is None or len(batch) >= _BATCH:
                        self._send(batch)
                        sent += len(batch)
                        batch = []
                        progress.update(task, completed=sent)
                    if line is None:
                        continue
                    number += 1
                    document = line.rstrip(b"\r\n")
                    if not document.strip():
                        continue
                    try:
                        batch.append(self._message(document)[1])
                    except (ConfigurationError, EncodeError) as error:
                        refused += 1
                        if refused <= _MOST_COMPLAINTS:
                            complain(f"line {number}: {error}")
                self._send(batch)
                sent += len(batch)
                batch = []
                progress.update(task, completed=sent, total=sent)
        except (PublishError, KeyboardInterrupt):
            unknown = f"; of the {len(batch):,} events up to line {number:,} it is not known" if batch else ""
            complain(f"{sent:,} published, {refused:,} refused{unknown}")
            raise
        if refused > _MOST_COMPLAINTS:
            complain(f"and {refused - _MOST_COMPLAINTS:,} more lines that are no valid event")
        return sent, refused

    def _message(self, document: bytes) -> tuple[str, bytes]:
        """Return what to call a document's message, and its bytes.

        Raises:
            ConfigurationError, EncodeError: it can never be sent.
        """
        bus, options = self._bus, self._options
        if self._make is None:
            most = bus.engine.max_message_bytes
            if not 0 < len(document) <= most:
                raise ConfigurationError(f"{len(document):,} bytes: a message has 1 to {most:,}")
            return f"{len(document)} bytes", document
        envelope = self._make(document)
        if options.subject is not None:
            envelope.subject = options.subject
        if options.delay:
            bus.publisher.envelopes.defer(envelope, options.delay, None)
        return envelope.id, bus.publisher.envelopes.encode(envelope)

    def _send(self, bodies: list[bytes]) -> None:
        """Publish messages; returns once all are confirmed."""
        engine, topic, timeout = self._bus.engine, self._options.topic, self._bus.publish_timeout
        if self._options.delay:
            delay = min(self._options.delay, engine.max_delay)
            for body in bodies:
                engine.publish(topic, body, delay=delay, timeout=timeout)
        elif bodies:
            engine.publish_many(topic, bodies, timeout=timeout)

    # -- from a document to what is sent ----------------------------------------------------------------------------

    def _class(self, target: str) -> type[Event]:
        found = attribute_of(target, "services.orders.events:OrderPlaced")
        if not (isinstance(found, type) and issubclass(found, Event)):
            raise ConfigurationError(f"--event {target}: is no class derived from eventbus.Event")
        if event_topic(found) != self._options.topic:
            raise ConfigurationError(
                f"--event {target}: belongs to topic {event_topic(found)!r}, not {self._options.topic!r}"
            )
        return found

    def _by_class(self, document: bytes) -> Envelope:
        try:
            event = self._event_type.model_validate(_json(document))
        except ValidationError as error:
            raise MisfitError(f"{self._event_type.__name__}: {first_fault(error)}") from None
        return self._bus.publisher.envelopes.make(event)

    def _by_contract(self, document: bytes) -> Envelope:
        data = _json(document)
        self._check.check(data)
        now = time()
        envelope = Envelope(new_id(now), self._bus.source, self._contract.type, self._write(now), data)
        if self._contract.version != 1:
            envelope.version = self._contract.version
        return envelope


def _json(document: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(document, parse_constant=refuse)
    except UnicodeDecodeError:
        raise ConfigurationError("no JSON: the bytes are no UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"no JSON: {error}") from None
