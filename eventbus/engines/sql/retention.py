"""Retention: what all channels have finished goes when it is old, a little at a time, so that no lock is held for long."""

from __future__ import annotations

import math

from eventbus.engines.sql.ids import base
from eventbus.engines.sql.session import Session
from eventbus.names import is_ephemeral

_STEP = 500
"""Messages looked at in one transaction."""
_SHORTEST, _LONGEST, _NEXT = 1.0, 60.0, 0.02


class Retention:
    """Removes old messages, topic by topic.

    Args:
        retain: seconds for which they stay; infinite for ever.

    Attributes:
        due_at: monotonic instant of the next step.
    """

    def __init__(self, retain: float) -> None:
        self._retain = retain
        self._topic = 0
        self._after = 0
        self._has_removed = self._is_shrinking = False
        self._interval = min(max(retain / 10, _SHORTEST), _LONGEST)
        self.due_at = math.inf

    def begin(self, now: float) -> None:
        """Work from now on."""
        if math.isinf(self.due_at) and math.isfinite(self._retain):
            self.due_at = now + self._interval

    def plan(self, now: float) -> None:
        """Put the next step off."""
        self.due_at = now + (_NEXT if self._topic or self._is_shrinking else self._interval)

    def step(self, session: Session) -> None:
        """Remove a little."""
        found = session.rows(
            "SELECT t.id, t.name, t.start, t.last, "
            "(SELECT min(position) FROM eventbus_bus_channels c WHERE c.topic = t.id), "
            "(SELECT min(l.first) - 1 FROM eventbus_bus_leases l JOIN eventbus_bus_channels c ON c.id = l.channel "
            "WHERE c.topic = t.id) FROM eventbus_bus_topics t WHERE t.id >= ? ORDER BY t.id LIMIT 1",
            (self._topic,),
        )
        if not found:
            self._topic = self._after = 0
            self._is_shrinking = self._has_removed = self._has_removed and session.shrink()
            return
        topic, name, start, last, position, leased = found[0]
        is_brief = is_ephemeral(name)
        unread = last if is_brief else start  # what came before the first channel waits for it, but for what is ephemeral
        floor = min(unread if position is None else position, math.inf if leased is None else leased)
        if topic != self._topic:
            self._topic, self._after = topic, base(topic)
        if not self._remove(session, floor, 0.0 if is_brief else self._retain):
            self._topic, self._after = topic + 1, 0

    def _remove(self, session: Session, floor: float, retain: float) -> bool:
        """Return whether there is more of this topic."""
        rows = session.rows(
            "SELECT id, at FROM eventbus_bus_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (self._after, int(floor), _STEP),
        )
        oldest = session.now - retain
        old = [id for id, at in rows if at <= oldest]
        if old:
            removed = session.run(
                "DELETE FROM eventbus_bus_log WHERE id >= ? AND id <= ? AND NOT EXISTS "
                "(SELECT 1 FROM eventbus_bus_exceptions e WHERE e.id = eventbus_bus_log.id)",
                (old[0], old[-1]),
            )
            self._has_removed |= removed > 0
            self._after = old[-1]
        return len(old) == _STEP
