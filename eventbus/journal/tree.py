"""Tree: a chain as causes and effects, each event with what became of its deliveries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eventbus.journal.logged import Chain, Logged
from eventbus.outcomes import Record


@dataclass(frozen=True, slots=True)
class Node:
    """An event of a chain, in the order in which a tree is written down.

    Attributes:
        depth: how many events of the chain led to it.
        event: None where only records tell of it.
        records: what was told of it.
    """

    depth: int
    event: Logged | None
    records: Sequence[Record]


def walk(chain: Chain) -> Iterator[Node]:
    """Yield the events of a chain, each before its effects, in the order of their times; each once, whoever its publisher
    says caused it. At the end come those of which only records tell."""
    told: dict[str, list[Record]] = defaultdict(list)
    for each in chain.records:
        told[each.id].append(each)
    there = {each.id for each in chain.events}
    effects: dict[str | None, list[Logged]] = defaultdict(list)
    for event in chain.events:
        effects[event.cause if event.cause in there and event.cause != event.id else None].append(event)
    seen: set[tuple[str, str, str]] = set()
    for first in [*effects[None], *chain.events]:  # those that cause one another in a ring hang on none
        waiting = [(0, first)]
        while waiting:
            depth, event = waiting.pop()
            key = (event.id, event.source, event.topic)
            if key in seen:
                continue
            seen.add(key)
            yield Node(depth, event, told.pop(event.id, ()))
            waiting += [(depth + 1, each) for each in reversed(effects[event.id])]
    for records in told.values():
        yield Node(0, None, records)
