"""A journal that a test writes, and the commands on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eventbus.journal.entries import Entry, entry_of
from eventbus.journal.store import Store
from eventbus.outcomes import Record
from eventbus.sql import Database
from eventbus.wire.codec import CODECS
from eventbus.wire.envelope import Envelope
from tests.cli.kit import Done, Shop
from tests.journal.events import ORDERS

AT = 1_800_000_000.0
ENCODE = CODECS["msgpack"]().encode


def envelope(id: str, data: Any = None, **others: Any) -> Envelope:
    return Envelope(id, "orders", "OrderPlaced", "2027-01-15T08:00:00Z", data, version=1, **others)


def kept(each: Envelope, topic: str = ORDERS, *, with_body: bool = True) -> Entry:
    return entry_of(topic, ENCODE(each), AT, with_body=with_body)


class Journal:
    """A journal of this test, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder)
        self.url = f"sqlite:///{folder}/journal.db"
        self._database = Database(self.url)
        self._store = Store(self._database)
        self._store.prepare()

    def holds(self, *entries: Entry, told: tuple[Record, ...] = (), now: float = AT) -> None:
        self._store.write(entries, told, now=now)

    def run(self, *words: str, **variables: str) -> Done:
        return self.shop.run("journal", *words, EVENTBUS_JOURNAL_URL=self.url, **variables)

    def close(self) -> None:
        self._database.close()
