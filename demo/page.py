"""The page of the demo: what flows through its bus, in a browser."""

from __future__ import annotations

import signal
import sys

import gevent
import gevent.event
from rich.console import Console

from demo.scenario import Scenario
from eventbus.cli.page import shown_address
from eventbus.errors import ConfigurationError
from eventbus.page.server import PageServer
from eventbus.page.sources import Sources


def page_of(scenario: Scenario, url: str, port: int) -> str:
    """Serve the page beside the scenario, on a free port where `port` is taken; return its address."""
    sources = Sources(scenario.bus, scenario.services, "contracts", scenario.outboxes, about=shown_address(url))
    try:
        page = PageServer(sources, port=port)
        scenario.bus.attach(page)
    except ConfigurationError:
        page = PageServer(sources)
        scenario.bus.attach(page)
    return page.url


def wait_for_the_end(address: str, console: Console) -> None:
    """Return at Ctrl-C or SIGTERM."""
    console.print(f"the page stays at {address} until Ctrl-C", highlight=False)
    sys.stdout.flush()
    ended = gevent.event.Event()
    watchers = [gevent.signal_handler(number, ended.set) for number in (signal.SIGINT, signal.SIGTERM)]
    ended.wait()
    for each in watchers:
        each.cancel()
