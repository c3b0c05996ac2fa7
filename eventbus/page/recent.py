"""Recent: what services told since the page began, bounded, and found again by id, correlation or subject."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence

from eventbus.outcomes import Batch, Record

_MOST_PUBLISHERS, _MOST_VERSIONS = 1000, 1000
_LEAST = 4
"""Fewest characters of an id, or of a subject, that are taken as its beginning."""


class Recent:
    """Records by the chain that they belong to. Whole chains are forgotten, the oldest first.

    Args:
        most: most records that are kept; about 500 bytes each.
        span: seconds that count as lately.
    """

    def __init__(self, most: int = 50_000, span: float = 10.0) -> None:
        self.dropped = 0
        """Records that their tellers left out, since there were too many."""
        self.halvings = 0
        """Of the chains, only one in `2 ** halvings` was told lately."""
        self._most = most
        self._span = span
        self._count = 0
        self._chains: OrderedDict[str, list[Record]] = OrderedDict()
        self.publishers: set[tuple[str, str]] = set()
        """Topics and the services that ever published there, as far as anybody told."""
        self.versions: Counter[tuple[str, str, int]] = Counter()
        """Deliveries that were told of, by topic, type and version of the event."""
        self._lately: deque[tuple[float, Record]] = deque()

    def take(self, batch: Batch) -> None:
        """Keep the records of a batch."""
        now = time.monotonic()
        self.dropped += batch.dropped
        self.halvings = batch.halvings
        for each in batch.records:
            key = each.correlation or each.id
            chain = self._chains.setdefault(key, [])
            if any(each == old for old in chain[-8:]):
                continue  # the message came twice
            chain.append(each)
            if not each.is_of_row and len(self.versions) < _MOST_VERSIONS:
                self.versions[each.topic, each.type, each.version] += 1
            if each.source and len(self.publishers) < _MOST_PUBLISHERS:
                self.publishers.add((each.topic, each.source))
            self._count += 1
            self._lately.append((now, each))
        while self._count > self._most and len(self._chains) > 1:
            self._count -= len(self._chains.popitem(last=False)[1])
        while len(self._lately) > self._most:
            self._lately.popleft()

    def lately(self) -> tuple[Sequence[Record], float]:
        """Return the records that came lately, and the seconds that this is."""
        end = time.monotonic() - self._span
        while self._lately and self._lately[0][0] < end:
            self._lately.popleft()
        return [each for _, each in self._lately], self._span

    def chain(self, key: str) -> Sequence[Record]:
        """Return all records of a chain, by its id, that of an event of it, a subject, or a beginning of one."""
        found = self._chains.get(key)
        if found is not None:
            return tuple(found)
        for correlation, records in reversed(self._chains.items()):
            if any(each.id == key or each.subject == key for each in records):
                return tuple(records)
            if len(key) >= _LEAST and (correlation.startswith(key) or any(_begins(each, key) for each in records)):
                return tuple(records)
        return ()

    def find(self, text: str, most: int) -> Iterator[Sequence[Record]]:
        """Yield the newest chains that `text` fits, or any, `most` at most."""
        for records in reversed(self._chains.values()):
            if most <= 0:
                return
            if not text or any(
                text in (each.id, each.subject, each.type, each.correlation) or _begins(each, text) for each in records
            ):
                most -= 1
                yield tuple(records)


def _begins(record: Record, text: str) -> bool:
    if len(text) < _LEAST:
        return False
    return record.id.startswith(text) or record.correlation.startswith(text) or (record.subject or "").startswith(text)
