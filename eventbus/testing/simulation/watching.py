"""Watching: what a step changed, so that a story can say it: rows of databases, and what objects of a test hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sized
from typing import Any

_WRITES = re.compile(r"\s*(INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM)\s+[\"`\[]?([\w.]+)", re.IGNORECASE)
_WORDS = {"i": "new in", "u": "changed in", "d": "gone from"}
_OURS = "eventbus_"
"""Begins the names of the library's own tables."""


class RowWatch:
    """Counts the rows that transactions of SQLAlchemy engines wrote and committed.

    Attributes:
        written: rows by what was done and the table, since it was last taken.
        listeners: what is to be called at which event of an engine.
    """

    def __init__(self) -> None:
        self.written: Counter[tuple[str, str]] = Counter()
        self.listeners: list[tuple[str, Callable[..., None]]] = [
            ("after_cursor_execute", self._wrote),
            ("commit", self._committed),
            ("rollback", self._rolled_back),
        ]

    def _wrote(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        found = _WRITES.match(statement)
        if found is None or cursor.rowcount == 0:
            return
        table = found[2].rpartition(".")[2]
        if not table.startswith(_OURS):
            pending = connection.info.setdefault("simulation", Counter())
            pending[found[1][0].lower(), table] += max(cursor.rowcount, 1)

    def _committed(self, connection: Any) -> None:
        self.written += connection.info.pop("simulation", Counter())

    def _rolled_back(self, connection: Any) -> None:
        connection.info.pop("simulation", None)

    def take(self) -> list[str]:
        """Return in words what was written since the last call."""
        found = [
            f"{count} row{'s' if count > 1 else ''} {_WORDS[what]} {table}" if what != "i" else _rows_in(count, table)
            for (what, table), count in sorted(self.written.items())
        ]
        self.written.clear()
        return found


def _rows_in(count: int, table: str) -> str:
    return f"{count} row{'s' if count > 1 else ''} in {table}"


class ObjectWatch:
    """Tells what changed in the attributes of an object."""

    def __init__(self, watched: Any) -> None:
        self._watched = watched
        self._seen = self._look()

    def _look(self) -> dict[str, Any]:
        attributes = getattr(self._watched, "__dict__", None) or {}
        return {name: _gist(value) for name, value in attributes.items() if _gist(value) is not None}

    def take(self) -> list[str]:
        """Return in words what changed since the last call."""
        before, self._seen = self._seen, self._look()
        found = []
        for name, now in self._seen.items():
            then = before.get(name)
            if now == then:
                continue
            size, old = now[0], then[0] if then else 0
            if now[1] == "size":
                change = size - old
                found.append(f"{abs(change)} {'more' if change > 0 else 'fewer'} in {name}" if change else f"{name} changed")
            else:
                found.append(f"{name} is {size}")
        return found


def _gist(value: Any) -> tuple[Any, str, Any] | None:
    """Return what of a value can be compared later."""
    if isinstance(value, bool | int | float | str):
        return (value if not isinstance(value, str) else value[:40], "value", None)
    if isinstance(value, list | tuple | set | frozenset | dict) and isinstance(value, Sized):
        try:
            return (len(value), "size", repr(value) if len(value) <= 100 else None)
        except Exception:
            return (len(value), "size", None)
    return None
