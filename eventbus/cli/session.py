"""Session: what every command does alike: its bus, its words on standard error, its exit code.

Exit codes: 0 well, 1 failed, 2 wrong use or settings, 3 no broker or database, 4 something does not fit its contract, 130
interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import gevent
import typer
from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from eventbus.bus import Bus
from eventbus.errors import (
    BrokerUnreachableError,
    ConfigurationError,
    DatabaseUnreachableError,
    EventBusError,
    MisfitError,
    NotSent,
)
from eventbus.runtime.redaction import as_json, lines, text_of
from eventbus.settings import BusSettings

_MOST = 4000
"""Longest complaint in characters, whatever a broker or a file says."""
FAILED = 1
WRONG_USE = 2
NO_BROKER = 3
INCOMPATIBLE = 4
INTERRUPTED = 130


class _Console(Console):
    """The gate of every text to a terminal: what steers one is written out, whoever wrote the text and however it came here.

    Ends a command quietly when nobody reads any more; rich would end it with code 1.
    """

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            # what rich itself steers the terminal with comes as control segments
            yield segment if control else Segment(lines(text, most=sys.maxsize), style)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


out = _Console(soft_wrap=True, highlight=False)
complaints = _Console(stderr=True, soft_wrap=True, highlight=False)


def say(text: str, style: str | None = None) -> None:
    """Print a line; nothing in it is read as markup."""
    out.print(lines(text), style=style, markup=False)


def complain(text: str, style: str | None = "red") -> None:
    """Print a line on standard error."""
    complaints.print(lines(text, most=_MOST), style=style, markup=False)


def say_json(tree: Any) -> None:
    """Print a tree as one line of JSON in ASCII."""
    sys.stdout.write(as_json(tree) + "\n")
    sys.stdout.flush()


def exit_code(error: BaseException) -> int:
    """Return the exit code that belongs to an error of ours."""
    if isinstance(error, BrokerUnreachableError | DatabaseUnreachableError | NotSent):
        return NO_BROKER
    if isinstance(error, MisfitError):
        return INCOMPATIBLE
    if isinstance(error, ConfigurationError):
        return WRONG_USE
    return FAILED


@contextmanager
def reported(command: str) -> Iterator[None]:
    """Turn errors of ours into a line on standard error and an exit code; a reader that went away ends the command."""
    try:
        yield
    except BrokenPipeError:
        # nobody reads any more, as behind `| head`; Python's own flush at the end must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except EventBusError as error:
        complain(f"eventbus {command}: {text_of(error)}")
        raise typer.Exit(exit_code(error)) from None


def quietly() -> None:
    """Let the library's own log say only what is an error: a command tells the rest itself."""
    logging.getLogger("eventbus").setLevel(logging.ERROR)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal interrupt a command where it waits, and nowhere else: Python would raise in
    the middle of any callback, and an answer that was on its way to the broker would be gone."""
    watchers: list[Any] = [
        gevent.signal_handler(number, gevent.kill, gevent.getcurrent(), KeyboardInterrupt)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ]
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.cancel()


@contextmanager
def connected(url: str | None, *, may_be_private: bool = False) -> Iterator[Bus]:
    """Yield a bus whose broker answers.

    Args:
        url: as given on the command line; EVENTBUS_URL unless given.
        may_be_private: whether an engine that lives in this process alone makes sense here.

    Raises:
        BrokerUnreachableError: nothing answers.
        ConfigurationError: the URL is wrong, or names an engine of this process alone.
    """
    quietly()
    settings = BusSettings.from_environment()
    address = url or settings.url
    if urlsplit(address).scheme == "memory":
        if not may_be_private:
            raise ConfigurationError(
                "memory:// lives in one process, and this one has nothing in it; give --bus sqlite:///FILE or "
                "nsq://..., or set EVENTBUS_URL"
            )
        complain("memory:// lives inside this process: nobody else sees what happens here", style="yellow")
    bus = Bus(address, source="eventbus-cli", settings=settings)
    try:
        with interruptible():
            bus.engine.ping(timeout=settings.publish_timeout)
            yield bus
    finally:
        bus.stop(grace=0.0)


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask before something is destroyed. Without a terminal to ask, only `--yes` will do.

    Raises:
        ConfigurationError: nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Nobody can be asked here; give --yes")
    return typer.confirm(question, default=False)
