"""The SQL engine: `sqlite:///path/bus.db` and `postgresql://user@host/database`, with no broker to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from gevent import get_hub

from eventbus.engines.base import Past, Receiver, TopicStats
from eventbus.engines.joining import joined
from eventbus.engines.sql import administration, counting, history
from eventbus.engines.sql.addresses import Target, parse
from eventbus.engines.sql.appending import make_topic
from eventbus.engines.sql.callers import append_in
from eventbus.engines.sql.requests import as_error
from eventbus.engines.sql.rounds import Append
from eventbus.engines.sql.session import Trouble
from eventbus.engines.sql.store import Store
from eventbus.engines.sql.subscription import Bytes, SqlSubscription
from eventbus.errors import BusStateError, ConfigurationError, Rejected
from eventbus.names import check_name
from eventbus.runtime.clock import Clock, SystemClock

_BYTES = 64 * 1024 * 1024
_MOST_MESSAGES, _MOST_BYTES = 1000, 1024 * 1024
"""Of one part of a list: many parts go into one transaction, but no part is too long for one."""
_DECLARED = 10_000

_stores: WeakValueDictionary[tuple[int, str], Store] = WeakValueDictionary()
"""Those of this process, by hub and database."""


class SqlEngine:
    """See the package's docstring.

    Args:
        target: which database, and how.
    """

    counts_runs = True

    def __init__(self, target: Target, *, clock: Clock | None = None) -> None:
        self.scheme = target.scheme
        self.clock: Clock = clock or SystemClock()
        self.options = target.options
        self.max_message_bytes = self.options.max_message_bytes
        self.max_delay = self.options.max_delay
        self.preferred: Mapping[str, Any] = {}
        self._bytes = Bytes(_BYTES)
        self._subscriptions: list[SqlSubscription] = []
        self._declared: set[tuple[str, str]] = set()
        self._checked: set[str] = set()
        self._is_closed = False
        self._count = 0
        key = (id(get_hub()), target.key)
        found = _stores.get(key)
        if found is None or found.is_closing:
            found = _stores[key] = Store(target.backend(), self.clock, retain=self.options.retain)
        self._store = found
        self._store.users += 1

    def __repr__(self) -> str:
        return f"<SqlEngine {self._store.backend.name}>"

    # -- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        self._check(topic, len(body), self.max_message_bytes)
        if not 0 <= delay <= self.max_delay:
            raise Rejected(f"delay of {delay!r} s to {topic!r}: the engine holds 0 to {self.max_delay:g} s")
        due = self.clock.time() + delay if delay else 0.0
        self._append(topic, [Append(topic, ((due, body),), len(body))], timeout)

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        parts: list[Append] = []
        part: list[tuple[float, bytes]] = []
        size = 0
        for body in bodies:
            self._check(topic, len(body), self.max_message_bytes)
            if part and (len(part) >= _MOST_MESSAGES or size + len(body) > _MOST_BYTES):
                parts.append(Append(topic, part, size))
                part, size = [], 0
            part.append((0.0, body))
            size += len(body)
        if part:
            parts.append(Append(topic, part, size))
        if parts:
            self._append(topic, parts, timeout)

    def publish_foreign(self, topic: str, body: bytes, *, timeout: float) -> None:
        self._check(topic, min(len(body), self.max_message_bytes), self.max_message_bytes)
        self._append(topic, [Append(topic, ((0.0, body),), len(body))], timeout)

    def _append(self, topic: str, parts: list[Append], timeout: float) -> None:
        callers = joined.get()
        if callers is None:
            self._store.publish(parts, timeout)
            return
        try:
            for part in parts:
                append_in(callers, self._store.backend, topic, part.messages)
        except Trouble as error:
            raise as_error(error) from None

    def _check(self, topic: str, size: int, most: int) -> None:
        self._check_open(f"publish to {topic!r}")
        if topic not in self._checked:
            self._checked.add(check_name(topic, kind="topic"))
        if not 0 < size <= most:
            raise Rejected(f"{size:,} bytes to {topic!r}: a message has 1 to {most:,} bytes")

    def _check_open(self, what: str) -> None:
        if self._is_closed:
            raise BusStateError(f"{what}: the SQL engine is closed")

    # -- consuming ----------------------------------------------------------------------------------------------------

    def subscribe(
        self, topic: str, channel: str, receiver: Receiver, *, max_in_flight: int, message_timeout: float, client: str = ""
    ) -> SqlSubscription:
        self._check_open(f"subscribe to {topic!r}")
        check_name(topic, kind="topic")
        check_name(channel, kind="channel")
        store = self._store
        self._count += 1
        token = f"{store.token}.{id(self):x}.{self._count}"
        number = store.requests.ask(lambda session: administration.subscribe(session, topic, channel, token))
        subscription = SqlSubscription(
            token,
            store.channels.get(topic, channel, number),
            receiver,
            store,
            message_timeout=message_timeout,
            max_delay=self.max_delay,
            room_in_bytes=self._bytes,
            on_closed=self._forget,
        )
        store.joined(subscription)
        self._subscriptions.append(subscription)
        if self._is_closed:
            subscription.close()
            raise BusStateError(f"subscribe to {topic!r}: the SQL engine was closed meanwhile")
        subscription.set_max_in_flight(max_in_flight)
        return subscription

    def _forget(self, subscription: SqlSubscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def limit_bytes(self, count: int) -> None:
        self._bytes.limit = count

    # -- operating ----------------------------------------------------------------------------------------------------

    def declare(self, topic: str, channels: Sequence[str] = (), *, anew: bool = False) -> Sequence[str]:
        self._check_open(f"declare {topic!r}")
        check_name(topic, kind="topic")
        for each in channels:
            check_name(each, kind="channel")
        wanted = {(topic, each) for each in channels} or {(topic, "")}
        if not anew and wanted <= self._declared:
            return ()

        def make(session: Any) -> None:
            make_topic(session, topic)
            for each in channels:
                administration.make_channel(session, topic, each)

        self._store.requests.ask(make, durable=True)
        if len(self._declared) < _DECLARED:
            self._declared |= wanted
        return ()

    def begin_at(self, topic: str, channel: str, begin: float) -> None:
        """As `Log.begin_at`."""
        self._check_open(f"declare {topic!r}")
        check_name(topic, kind="topic")
        check_name(channel, kind="channel")
        if begin > self.clock.time():
            raise ConfigurationError(
                f"channel {channel!r} of {topic!r} cannot begin in the future; leave `begin` out for now"
            )
        self._store.requests.ask(
            lambda session: administration.make_channel(session, topic, channel, begin=begin), durable=True
        )

    def past(
        self, topic: str, *, after: int, since: float | None, until: float | None, most: int, most_bytes: int
    ) -> Sequence[Past]:
        """As `Log.past`."""
        return self._store.requests.ask(
            lambda session: history.past(
                session, topic, after=after, since=since, until=until, most=most, most_bytes=most_bytes
            )
        )

    def repeat(self, topic: str, channel: str, positions: Sequence[int]) -> int:
        """As `Log.repeat`."""
        count = self._store.requests.ask(lambda session: history.repeat(session, topic, channel, positions), durable=True)
        self._store.look_at_topic(topic)
        return count

    def late_for(self, topic: str) -> float:
        return 0.0

    def ping(self, *, timeout: float) -> None:
        self._store.requests.ask(lambda session: session.rows("SELECT 1"), timeout=timeout)

    def stats(self) -> dict[str, TopicStats]:
        return self._store.requests.ask(counting.stats)

    def pause(self, topic: str, channel: str | None = None) -> None:
        self._operate(topic, channel, lambda session: administration.pause(session, topic, channel, is_paused=True))

    def resume(self, topic: str, channel: str | None = None) -> None:
        self._operate(topic, channel, lambda session: administration.pause(session, topic, channel, is_paused=False))

    def empty(self, topic: str, channel: str | None = None) -> None:
        self._operate(topic, channel, lambda session: administration.empty(session, topic, channel))

    def _operate(self, topic: str, channel: str | None, work: Any) -> None:
        self._check_open(f"operate {topic!r}")
        check_name(topic, kind="topic")
        if channel is not None:
            check_name(channel, kind="channel")
        self._store.requests.ask(work, durable=True)
        self._store.look_at_topic(topic)

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for subscription in list(self._subscriptions):
            subscription.close()
        self._store.users -= 1
        if self._store.users <= 0:
            self._store.close()
        else:
            self._store.requests.settled(5.0)

    def abandon(self) -> None:
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.abandon()


def open_sql(url: str, *, clock: Clock | None = None) -> SqlEngine:
    """Return an engine for `sqlite:///path/bus.db` or `postgresql://user@host/database`.

    Raises:
        ConfigurationError: names what is wrong with the URL or the database.
    """
    return SqlEngine(parse(url), clock=clock)
