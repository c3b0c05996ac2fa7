"""Sources: where the page's answers come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from eventbus.bus import Bus
from eventbus.journal.logged import Chain, Logged
from eventbus.service import Service


class Reading(Protocol):
    """What the page asks of a journal; `eventbus.journal.reading.Reading` is one."""

    def find(self, text: str = "", *, limit: int = 50) -> Sequence[Logged]:
        """Return the newest events that a text fits."""
        ...

    def chain(self, key: str) -> Chain | None:
        """Return the chain that a key names."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page looks at.

    Attributes:
        bus: started or not; the page publishes nothing on it and subscribes to nothing but outcomes.
        services: whose handlers are compared with the contracts; may be empty.
        contracts: folder, wheel or http(s) address of contracts.
        outboxes: `eventbus.sql.Outbox` of databases that are looked at.
        journal: what is asked for journeys that are older than the page; None where nobody keeps one.
        about: address of the bus as it may be shown, without a password; its scheme unless given.
    """

    bus: Bus
    services: Sequence[Service] = ()
    contracts: str = "contracts"
    outboxes: Sequence[Any] = field(default_factory=tuple)
    journal: Reading | None = None
    about: str = ""
