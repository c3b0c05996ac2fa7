"""Enforce: contracts at run time. A service whose view does not fit refuses to start, and a producer cannot break its word.

EVENTBUS_CONTRACTS is `enforce`, `warn` or `off` (the default); EVENTBUS_CONTRACTS_FROM says where the contracts are: a
folder, a wheel, or an address. `Bus.start` and the first publish of each event class ask here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from eventbus.contracts.contract import Contract, contract_of
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.views import check_views, views_of
from eventbus.errors import MisfitError
from eventbus.event import Event, event_info
from eventbus.service import Service

log = logging.getLogger("eventbus.contracts")


class Enforcer:
    """Asks contracts before anything flows.

    Raises:
        ContractError: the contracts cannot be read.
    """

    def __init__(self, source: str, *, is_strict: bool) -> None:
        self._contracts: list[Contract] = load_contracts(source)
        self._source = source
        self._is_strict = is_strict
        self._asked: set[type[Event]] = set()

    def check_services(self, services: Sequence[Service]) -> None:
        """Ask for the views of services that are about to start.

        Raises:
            ContractError: one does not fit, and the mode is enforce.
        """
        misfits = check_views(views_of(services), self._contracts)
        if misfits:
            self._object("\n  ".join(map(str, misfits)))

    def check_event(self, event_type: type[Event]) -> None:
        """Ask for an event class that is about to be published; each class once.

        Raises:
            ContractError: it differs from its published contract or has none, and the mode is enforce.
        """
        if event_type in self._asked:
            return
        info = event_info(event_type)
        if info.topic is None or info.topic.endswith(".receipts"):
            return
        mine = contract_of(event_type, "")
        published = next((each for each in self._contracts if each.path == mine.path), None)
        if not info.is_owned:
            self._object(
                f"{info.topic}: class {event_type.__name__} states no version, so it is a view, to read by; who publishes "
                f'states one: class {event_type.__name__}(Event, topic="{info.topic}", version=1)'
            )
        elif published is None:
            self._object(f"{info.topic}: {mine.name} is not published in {self._source}; eventbus contracts publish")
        elif published.retired is not None:
            self._object(f"{info.topic}: {mine.name} was retired on {published.retired.on}: {published.retired.reason}")
        elif published.shape() != mine.shape():
            self._object(f"{info.topic}: {mine.name} differs from its contract in {published.place}; give it a new version")
        self._asked.add(event_type)

    def _object(self, what: str) -> None:
        if self._is_strict:
            raise MisfitError(f"contracts are enforced:\n  {what}")
        log.warning("contracts: %s", what)
