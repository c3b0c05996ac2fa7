"""Visit: all checks in the order in which they should be read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent

from eventbus.bus import Bus
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.views import check_views, views_of
from eventbus.doctor.channels import check_channels, check_unread
from eventbus.doctor.cluster import check_cluster
from eventbus.doctor.databases import check_databases
from eventbus.doctor.environment import check_environment
from eventbus.doctor.findings import Finding, fault, note, ok
from eventbus.engines.nsq.engine import NsqEngine
from eventbus.engines.nsq.options import NsqOptions
from eventbus.errors import BrokerUnreachableError, ContractError, EventBusError
from eventbus.service import Service
from eventbus.settings import BusSettings

UNREACHABLE = "broker"
MISFIT = "contracts"
"""Names of the checks that have exit codes of their own."""


def examine(
    bus: Bus, services: Sequence[Service], *, contracts: str, watch: float, outboxes: Sequence[Any] = ()
) -> Iterator[Finding]:
    """Yield findings as they are made.

    Args:
        contracts: folder, wheel or address of the contracts.
        watch: seconds between two looks at the channels.
        outboxes: of databases that no service here has.
    """
    known = dict.fromkeys(name.upper() for model in (BusSettings, NsqOptions) for name in model.model_fields)
    yield from check_environment(known)
    yield from _contracts(services, contracts)
    yield from check_databases(services, outboxes)
    is_reachable = True
    try:
        bus.engine.ping(timeout=bus.publish_timeout)
    except BrokerUnreachableError as error:
        is_reachable = False
        yield fault(UNREACHABLE, str(error), "start the brokers, or correct --bus or EVENTBUS_URL")
    if isinstance(bus.engine, NsqEngine):
        yield from check_cluster(bus, bus.engine, services)
    elif hasattr(bus.engine, "past"):
        if is_reachable:
            yield ok("engine", f"the database answers, and keeps past events ({bus.engine.scheme}://)")
    else:
        yield note("engine", f"{bus.engine.scheme}:// is no cluster: there is nothing of it to look at from here")
        return
    if not is_reachable:
        return
    try:
        before, began = bus.engine.stats(), time.monotonic()
        gevent.sleep(watch)
        after = bus.engine.stats()
    except EventBusError as error:
        yield fault("statistics", str(error), "open nsqd's HTTP ports to this machine")
        return
    if hasattr(bus.engine, "past"):
        yield from check_unread(before, after)
    yield from check_channels(before, after, max(time.monotonic() - began, 0.001), services)


def _contracts(services: Sequence[Service], source: str) -> Iterator[Finding]:
    if not services:
        yield note(
            "services", "no services were given: channels are not compared with any", "eventbus doctor MODULE:SERVICE..."
        )
        return
    if not source.startswith(("http://", "https://")) and not Path(source).exists():
        yield note(MISFIT, f"there are no contracts at {source}", "eventbus contracts publish")
        return
    try:
        views = views_of(services)
        misfits = check_views(views, load_contracts(source))
    except ContractError as error:
        yield fault(MISFIT, str(error), "eventbus contracts check")
        return
    for each in misfits:
        yield fault(MISFIT, str(each), "eventbus contracts check says more")
    if not misfits:
        yield ok(MISFIT, f"{len(views)} views fit the contracts in {source}")
