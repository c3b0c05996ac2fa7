"""Sources: where the page's answers come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eventbus.bus import Bus
from eventbus.service import Service


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page looks at.

    Attributes:
        bus: started or not; the page publishes nothing on it and subscribes to nothing but outcomes.
        services: whose handlers are compared with the contracts; may be empty.
        contracts: folder, wheel or http(s) address of contracts.
        outboxes: `eventbus.sql.Outbox` of databases that are looked at.
        about: address of the bus as it may be shown, without a password; its scheme unless given.
    """

    bus: Bus
    services: Sequence[Service] = ()
    contracts: str = "contracts"
    outboxes: Sequence[Any] = field(default_factory=tuple)
    about: str = ""
