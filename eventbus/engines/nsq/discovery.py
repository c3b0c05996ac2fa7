"""Discovery: which nsqd have a topic, as all nsqlookupd know it together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import gevent

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.http import HttpError, request

log = logging.getLogger("eventbus.nsq")


class Node(NamedTuple):
    """One nsqd."""

    tcp: Address
    http: Address


class Found(NamedTuple):
    """What the nsqlookupd that answered know together.

    Attributes:
        nodes: nsqd, each once.
        answered: how many nsqlookupd answered; with 0 the absence of a node means nothing.
    """

    nodes: tuple[Node, ...]
    answered: int


class Lookup:
    """Asks all nsqlookupd at the same time and joins what they know.

    Args:
        accept: filter on nodes, or None for all.
    """

    def __init__(
        self, lookupds: tuple[Address, ...], *, timeout: float, accept: Callable[[Node], bool] | None = None
    ) -> None:
        self.lookupds = lookupds
        self._timeout = timeout
        self._accept = accept
        self._failing: set[Address] = set()

    def topic(self, topic: str) -> Found:
        """Return the nsqd that have `topic`."""
        return self._ask("/lookup", topic=topic)

    def nodes(self) -> Found:
        """Return all nsqd."""
        return self._ask("/nodes")

    def _ask(self, path: str, **query: str) -> Found:
        requests = [gevent.spawn(self._ask_one, lookupd, path, query) for lookupd in self.lookupds]
        gevent.joinall(requests)
        answers = [each.value for each in requests if each.value is not None]
        nodes = dict.fromkeys(node for answer in answers for node in answer if self._accept is None or self._accept(node))
        return Found(tuple(nodes), len(answers))

    def _ask_one(self, lookupd: Address, path: str, query: dict[str, str]) -> list[Node] | None:
        try:
            answer = request(lookupd, "GET", path, timeout=self._timeout, **query)
            nodes = read_nodes(answer)
        except HttpError as error:
            if error.status == 404:  # it knows no such topic yet
                self._failing.discard(lookupd)
                return []
            self._complain(lookupd, error)
            return None
        except (KeyError, TypeError, ValueError) as error:
            self._complain(lookupd, HttpError(f"{lookupd}: answers {path} with nonsense ({type(error).__name__}: {error})"))
            return None
        if lookupd in self._failing:
            self._failing.discard(lookupd)
            log.info("nsqlookupd %s answers again", lookupd)
        return nodes

    def _complain(self, lookupd: Address, error: HttpError) -> None:
        if lookupd not in self._failing:  # once for each outage
            self._failing.add(lookupd)
            log.warning("nsqlookupd %s; asked again each interval, the others meanwhile", error)

    def post(self, path: str, **query: str) -> list[HttpError]:
        """Tell all nsqlookupd; return what failed."""

        def tell(lookupd: Address) -> HttpError | None:
            try:
                request(lookupd, "POST", path, timeout=self._timeout, **query)
            except HttpError as error:
                return error
            return None

        requests = [gevent.spawn(tell, lookupd) for lookupd in self.lookupds]
        gevent.joinall(requests)
        return [each.value for each in requests if each.value is not None]


def read_nodes(answer: Any) -> list[Node]:
    """Return the nodes in an answer of nsqlookupd; raises KeyError, TypeError or ValueError for nonsense."""
    producers: Iterable[Any] = answer["producers"]
    nodes = []
    for producer in producers or ():
        host, tcp, http = producer["broadcast_address"], producer["tcp_port"], producer["http_port"]
        if not isinstance(host, str) or not host:
            raise ValueError("broadcast_address is no text")
        for port in (tcp, http):
            if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
                raise ValueError(f"port {port!r}")
        nodes.append(Node(Address(host, tcp), Address(host, http)))
    return nodes
