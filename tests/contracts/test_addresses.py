"""Contracts from an address that somebody else serves: bounded in time, and never from another place than was named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.event
import pytest
from gevent.pywsgi import WSGIServer

from eventbus.contracts.matching import matches
from eventbus.contracts.sources import load_contracts, read_files
from eventbus.errors import ContractError
from tests.ports import HOST

Serve = Callable[[Callable[..., Any]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves an application, in a thread with a hub of its own, and returns its address."""
    stops: list[Callable[[], object]] = []

    def start(app: Callable[..., Any]) -> str:
        pool = gevent.get_hub().threadpool
        ready: list[int] = []

        def run() -> None:
            server = WSGIServer((HOST, 0), app, log=None, error_log=None)
            server.start()
            ended = gevent.event.Event()
            loop = gevent.get_hub().loop
            stops.append(lambda: loop.run_callback_threadsafe(ended.set))
            ready.append(server.server_port)
            ended.wait()
            server.stop(0)
            gevent.get_hub().destroy(destroy_loop=True)

        pool.spawn(run)
        while not ready:
            gevent.sleep(0.01)
        return f"http://{HOST}:{ready[0]}"

    yield start
    for stop in stops:
        stop()


def test_no_redirect_leads_to_another_place(serve: Serve) -> None:
    asked: list[str] = []

    def inner(environ: dict[str, Any], answer: Any) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        answer("200 OK", [])
        return [b"[]"]

    inside = serve(inner)

    def outer(environ: dict[str, Any], answer: Any) -> list[bytes]:
        answer("302 Found", [("Location", f"{inside}/secrets/index.json")])
        return []

    with pytest.raises(ContractError, match="has moved to .*/secrets/index.json; redirects are not followed"):
        load_contracts(serve(outer))
    assert asked == []


def test_a_file_that_comes_too_slowly_ends_in_an_error(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventbus.contracts.sources._LONGEST", 1.0)

    def drip(_environ: dict[str, Any], answer: Any) -> Iterator[bytes]:
        answer("200 OK", [])
        while True:
            gevent.sleep(0.1)
            yield b" "

    with pytest.raises(ContractError, match="not read within 1 s"):
        load_contracts(serve(drip))


def test_all_files_together_are_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventbus.contracts.sources._LARGEST_IN_ALL", 5_000)

    def large(environ: dict[str, Any], answer: Any) -> list[bytes]:
        answer("200 OK", [])
        is_index = environ["PATH_INFO"].endswith("index.json")
        return [json.dumps([f"t/E{number}.v1.json" for number in range(9)]).encode() if is_index else b"x" * 1_000]

    with pytest.raises(ContractError, match="more than 5,000 bytes in all"):
        list(read_files(serve(large), "contracts", "*/*.v*.json", "publish"))


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        ("^(a+)+$", "a" * 5_000 + "!", False),
        (r"^(\w|\d)*x$", "1" * 5_000, False),
        ("(.*)*b$", "a" * 5_000, False),
        ("b", "abc", True),
        (r"^\d+$", "12\n", False),
        ("^(?=a)", "ab", True),  # Rust's matcher does not look around
        (r"(a)\1", "aa", True),
    ],
)
def test_a_pattern_takes_time_as_the_text_is_long(pattern: str, text: str, is_found: bool) -> None:
    assert matches(pattern, text) is is_found
