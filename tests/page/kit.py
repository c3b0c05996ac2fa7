"""What tests of the page need: a page that is served, and questions to it from outside of this hub."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import gevent

from eventbus import Bus
from eventbus.page.access import Access
from eventbus.page.server import PageServer
from eventbus.page.sources import Sources
from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def tree(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str, path: str, *, method: str = "GET", form: Mapping[str, str] | None = None, tree: Any = None, **headers: str
) -> Answer:
    """Ask in a thread, since the page is served by this one; names of headers have `_` for `-`."""

    def run() -> Answer:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None
        if form is not None:
            body = urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        if tree is not None:
            body = json.dumps(tree)
            sent["Content-Type"] = "application/json"
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
        connection.close()
        return found

    found: Answer = gevent.get_hub().threadpool.apply(run)
    return found


def frames(url: str, count: int, last: str | None = None) -> list[tuple[str, Any]]:
    """Return the ids and data of the next `count` frames of the flow."""

    def run() -> list[tuple[str, Any]]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        connection.request("GET", "/flow", headers={} if last is None else {"Last-Event-ID": last})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        found: list[tuple[str, Any]] = []
        name = ""
        while len(found) < count:
            line = answer.readline().decode().rstrip("\n")
            if line.startswith("id: "):
                name = line[4:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
        connection.close()
        return found

    found: list[tuple[str, Any]] = gevent.get_hub().threadpool.apply(run)
    return found


@contextmanager
def served(bus: Bus, access: Access | None = None, **options: Any) -> Iterator[str]:
    """Serve the page of a bus; yield its address."""
    page = PageServer(Sources(bus, contracts=options.pop("contracts", "none-here")), access=access, **options)
    page.start()
    try:
        yield page.url
    finally:
        page.stop_intake()
        page.stop(1.0)
