"""Discovery: which nsqd have a topic, as all nsqlookupd know it together."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import NamedTuple

import gevent

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.http import HttpClient, HttpError
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.schema import MOST_NODES, Producers
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.nsq")


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
        options: for HTTP, and for the nodes that are believed; the defaults unless given.
        timeout: seconds for an answer, where no options are given.
        accept: filter on nodes, or None for all.
    """

    def __init__(
        self,
        lookupds: tuple[Address, ...],
        options: NsqOptions | None = None,
        *,
        timeout: float | None = None,
        accept: Callable[[Node], bool] | None = None,
    ) -> None:
        options = options or (NsqOptions() if timeout is None else NsqOptions(connect_timeout=timeout))
        self.lookupds = lookupds
        self._http = client_of(options)
        self._for_others = options.connect_timeout / 2
        self._trusted = options.nodes
        self._accept = accept
        self._failing: set[Address] = set()
        self._said: set[Address] = set()

    def topic(self, topic: str) -> Found:
        """Return the nsqd that have `topic`."""
        return self._ask("/lookup", topic=topic)

    def nodes(self) -> Found:
        """Return all nsqd."""
        return self._ask("/nodes")

    def _ask(self, path: str, **query: str) -> Found:
        requests = [gevent.spawn(self._ask_one, lookupd, path, query) for lookupd in self.lookupds]
        try:
            for first in gevent.iwait(requests):
                if isinstance(first.value, list):
                    break
            gevent.joinall(requests, timeout=self._for_others)  # one that hangs is asked again in the next round
        finally:
            gevent.killall(requests, block=False)
        answers = [each.value for each in requests if isinstance(each.value, list)]
        nodes = dict.fromkeys(node for answer in answers for node in answer if self._is_believed(node))
        if len(nodes) > MOST_NODES:
            log.warning("nsqlookupd list %d nsqd; the first %d are believed, see the option 'nodes'", len(nodes), MOST_NODES)
        return Found(tuple(nodes)[:MOST_NODES], len(answers))

    def _is_believed(self, node: Node) -> bool:
        if self._accept is not None and not self._accept(node):
            return False
        if not self._trusted or any(_matches(node.tcp.host, pattern) for pattern in self._trusted):
            return True
        if node.tcp not in self._said and len(self._said) < MOST_NODES:
            self._said.add(node.tcp)
            log.warning("nsqd %s is listed, and the option 'nodes' does not name it: passed over", node.tcp)
        return False

    def _ask_one(self, lookupd: Address, path: str, query: dict[str, str]) -> list[Node] | None:
        try:
            nodes = read_nodes(self._http.ask(lookupd, path, Producers, query))
        except HttpError as error:
            if error.status == 404:  # it knows no such topic yet
                self._failing.discard(lookupd)
                return []
            self._complain(lookupd, error)
            return None
        if lookupd in self._failing:
            self._failing.discard(lookupd)
            log.info("nsqlookupd %s answers again", lookupd)
        return nodes

    def _complain(self, lookupd: Address, error: HttpError) -> None:
        if lookupd not in self._failing:  # once for each outage
            self._failing.add(lookupd)
            log.warning("nsqlookupd %s; asked again each interval, the others meanwhile", error)

    def tell(self, *posts: tuple[str, dict[str, str]]) -> list[HttpError]:
        """Post to all nsqlookupd at the same time, each post after the other; return what failed."""

        def tell(lookupd: Address) -> HttpError | None:
            try:
                for path, query in posts:
                    self._http.request(lookupd, "POST", path, **query)
            except HttpError as error:
                return error
            return None

        requests = [gevent.spawn(tell, lookupd) for lookupd in self.lookupds]
        try:
            gevent.joinall(requests)
        finally:
            gevent.killall(requests, block=False)
        return [each.value for each in requests if isinstance(each.value, HttpError)]


def client_of(options: NsqOptions) -> HttpClient:
    """Return what asks nsqlookupd."""
    return HttpClient(options, is_secure=options.lookup_https)


def _matches(host: str, pattern: str) -> bool:
    """Whether a host is the one that a pattern names: a name, `*.name`, an address or a network."""
    if pattern.startswith("*."):
        return host.lower().endswith(pattern[1:].lower())
    try:
        return ip_address(host) in ip_network(pattern, strict=False)
    except ValueError:
        return host.lower() == pattern.lower()


def read_nodes(answer: Producers) -> list[Node]:
    """Return the nodes in an answer of nsqlookupd."""
    return [
        Node(Address(each.broadcast_address, each.tcp_port), Address(each.broadcast_address, each.http_port))
        for each in answer.producers
    ]
