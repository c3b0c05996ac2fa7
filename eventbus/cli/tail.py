"""The command `eventbus tail`: shows what is published to topics, as it comes."""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Annotated, Any

import gevent
import gevent.event
import gevent.queue
import typer
from rich.text import Text

from eventbus.bus import Bus
from eventbus.cli.options import BusUrl, Yes
from eventbus.cli.session import complain, confirmed, connected, out, reported, say_json
from eventbus.cli.showing import NoData, ShowPersonal
from eventbus.dead_letters.sight import USUAL, Sight
from eventbus.engines.base import Delivery, TopicStats
from eventbus.errors import ConfigurationError, DecodeError
from eventbus.names import check_name, is_ephemeral
from eventbus.runtime.redaction import one_line
from eventbus.wire.codec import Limits, decode
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import parse_instant

app = typer.Typer(add_completion=False)

_HOLD = 200
_MOST_BYTES = 512
_REMEMBERED = 10_000
_LOOK_AGAIN = 1.0


@app.command()
def tail(
    topics: Annotated[list[str], typer.Argument(metavar="TOPIC...", help="Topics to show.")],
    channel: Annotated[
        str | None, typer.Option(help="Take the events of this channel away, instead of looking on from one of our own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    parents: Annotated[bool, typer.Option("--parents", help="Show what caused each event, as far as it was seen.")] = False,
    personal: ShowPersonal = False,
    no_data: NoData = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many.")] = None,
    yes: Yes = False,
    bus: BusUrl = None,
) -> None:
    """Show events as they are published, decoded where that is possible and as hex where not.

    Looks on from a channel of its own that vanishes with it, and so takes nothing from anybody. With --channel it is one
    more worker of that channel: what it shows, the others do not get.

    Example: eventbus tail orders_placed orders_shipped --parents
    """
    with reported("tail"):
        for topic in topics:
            check_name(topic, kind="topic")
        if channel is not None:
            check_name(channel, kind="channel")
        with connected(bus) as open_bus:
            name = channel or f"tail-{os.getpid()}-{os.urandom(3).hex()}#ephemeral"
            for topic in topics:
                if channel is None:
                    _refuse_to_steal(open_bus, topic)
                elif not is_ephemeral(channel) and not confirmed(
                    f"What is shown is taken away from channel {channel!r}. Go on?", yes=yes
                ):
                    return
            sight = Sight(personal, not no_data)
            _Tail(open_bus, name, sight, as_json=as_json, with_parents=parents, limit=limit).run(topics)


def _is_first(there: TopicStats) -> bool:
    """Whether our channel would be the first lasting thing: a topic keeps its messages for its first channel."""
    return all(map(is_ephemeral, there.channels))


def _refuse_to_steal(bus: Bus, topic: str) -> None:
    there = bus.engine.stats().get(topic)
    if there is not None and _is_first(there) and there.depth:
        raise ConfigurationError(
            f"topic {topic!r} keeps {there.depth:,} messages for its first channel; they would be shown here and lost. Make "
            f"its channels first (eventbus declare), or name one with --channel"
        )


class _Tail:
    def __init__(
        self, bus: Bus, channel: str, sight: Sight = USUAL, *, as_json: bool, with_parents: bool, limit: int | None
    ) -> None:
        self._bus = bus
        self._channel = channel
        self._sight = sight
        self._looks_on = is_ephemeral(channel)
        self._as_json = as_json
        self._with_parents = with_parents
        self._left = limit
        self._arrived: gevent.queue.Queue[tuple[str, Delivery]] = gevent.queue.Queue()
        self._seen: OrderedDict[str, Envelope] = OrderedDict()

    def run(self, topics: list[str]) -> None:
        """Show until the limit, or for ever."""
        waiting = gevent.spawn(self._subscribe, topics)
        try:
            while self._left != 0:
                topic, delivery = self._arrived.get()
                self._show(topic, delivery)
                delivery.finish()  # after it was shown: what a closed terminal did not show is not taken away
                if self._left is not None:
                    self._left -= 1
        finally:
            waiting.kill()

    def _subscribe(self, topics: list[str]) -> None:
        """Subscribe to each topic once it exists: looking must not make it."""
        missing = list(topics)
        told = False
        while True:
            there = self._bus.engine.stats()
            for topic in [each for each in missing if each in there]:
                if self._looks_on and _is_first(there[topic]):
                    if there[topic].depth:
                        continue  # it was just made, and what is in it belongs to a channel that is still to come
                    complain(f"topic {topic!r} has no channel yet: what comes now is kept for nobody", style="yellow")
                missing.remove(topic)
                self._bus.engine.subscribe(
                    topic,
                    self._channel,
                    self._receiver(topic),
                    max_in_flight=_HOLD,
                    message_timeout=self._bus.message_timeout,
                )
            if not missing:
                return
            if not told:
                complain(f"waiting for {', '.join(missing)}: no such topic yet, or one without channels", style="yellow")
                told = True
            gevent.sleep(_LOOK_AGAIN)

    def _receiver(self, topic: str) -> Any:
        def receive(deliveries: Any) -> None:
            for delivery in deliveries:
                self._arrived.put((topic, delivery))

        return receive

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self, topic: str, delivery: Delivery) -> None:
        """Show one delivery, whatever it holds."""
        try:
            envelope = decode(delivery.body, Limits(max_bytes=max(len(delivery.body), 1)))
        except DecodeError as error:
            self._show_bytes(topic, delivery, error.reason)
            return
        if self._as_json:
            shown = {"topic": topic, **self._sight.attributes(envelope)}
            if self._with_parents:
                shown["parents"] = [_name(each) for each in self._parents(envelope)]
            say_json(shown)
        else:
            line = Text(_clock(envelope.time), style="dim")
            line.append(f"  {one_line(envelope.type)}", style="bold green")
            line.append(f" v{envelope.version} from {one_line(envelope.source)} on {topic}  ", style="default")
            line.append(one_line(envelope.id), style="cyan")
            if delivery.attempts > 1:
                line.append(f"  attempt {delivery.attempts}", style="yellow")
            out.print(line)
            out.print(
                Text("    " + one_line(json.dumps(self._sight.data(envelope), ensure_ascii=False, default=_hex), most=4000))
            )
            if self._with_parents:
                for depth, parent in enumerate(self._parents(envelope)):
                    out.print(Text(f"    {'  ' * depth}↳ caused by {one_line(_name(parent))}", style="dim"))
            sys.stdout.flush()
        self._seen[envelope.id] = envelope
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _show_bytes(self, topic: str, delivery: Delivery, reason: str) -> None:
        shown = self._sight.hex(delivery.body[:_MOST_BYTES])
        if self._as_json:
            say_json(
                {"topic": topic, "undecodable": reason, "bytes": len(delivery.body), "hex": self._sight.hex(delivery.body)}
            )
            return
        more = "…" if len(delivery.body) > _MOST_BYTES else ""
        line = Text(_clock(datetime.fromtimestamp(delivery.timestamp, UTC).isoformat()), style="dim")
        line.append(f"  {len(delivery.body):,} bytes", style="bold yellow")
        line.append(f" on {topic}, no event: {one_line(reason)}", style="default")
        out.print(line)
        out.print(Text(f"    {shown}{more}"))
        sys.stdout.flush()

    def _parents(self, envelope: Envelope) -> list[Envelope | str]:
        """Return the chain of causes, the nearest first; ids for what was not seen here."""
        chain: list[Envelope | str] = []
        cause = envelope.causation_id
        while cause is not None and len(chain) < 32:
            parent = self._seen.get(cause)
            chain.append(parent or cause)
            cause = parent.causation_id if parent is not None else None
        if chain and isinstance(chain[-1], str) and envelope.correlation_id != chain[-1]:
            chain.append(envelope.correlation_id)
        return chain


def _name(parent: Envelope | str) -> str:
    return parent if isinstance(parent, str) else f"{parent.type} from {parent.source} {parent.id}"


def _clock(text: str) -> str:
    try:
        return datetime.fromtimestamp(parse_instant(text, attribute="time")).strftime("%H:%M:%S.%f")[:-3]
    except DecodeError:
        return one_line(text)


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)
