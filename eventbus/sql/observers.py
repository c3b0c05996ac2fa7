"""Observers: tell middleware that wants to know what became of rows of an outbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eventbus.middleware import Middleware, RowState
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.sql")


class RowObservers:
    """Those of one outbox."""

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        self._middleware = middleware
        self._settled: dict[tuple[str, bytes], None] = {}

    @property
    def are_there(self) -> bool:
        """Whether anybody wants to be told at this moment."""
        return any(each.wants("relayed") for each in self._middleware)

    def will_settle(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Keep topics and bodies of rows that are settled once their transaction is committed."""
        self._settled.update(dict.fromkeys(rows))

    def tell_settled(self) -> None:
        """Tell of those, since it is."""
        settled, self._settled = self._settled, {}
        by_topic: dict[str, list[bytes]] = {}
        for topic, body in settled:
            by_topic.setdefault(topic, []).append(body)
        for topic, bodies in by_topic.items():
            self.tell("settled", topic, bodies)

    def tell(self, state: RowState, topic: str, bodies: Sequence[bytes]) -> None:
        """Tell of rows of a topic."""
        for each in self._middleware:
            if each.wants("relayed"):
                try:
                    each.relayed(state, topic, bodies)
                except Exception:  # an observer's fault is not the row's
                    log.exception("middleware %r failed in relayed()", each)
