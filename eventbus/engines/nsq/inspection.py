"""Inspection: a cluster looked at from outside, server by server, for `eventbus doctor`. Changes nothing anywhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import gevent

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.dialing import dial
from eventbus.engines.nsq.discovery import Node, client_of, read_nodes
from eventbus.engines.nsq.engine import NsqEngine
from eventbus.engines.nsq.handshake import Features, describe, open_session
from eventbus.engines.nsq.http import MOST_STATS, HttpClient, HttpError, read_as
from eventbus.engines.nsq.layers import TlsLayer
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.schema import Info, Producers, Stats


@dataclass(slots=True)
class LookupView:
    """One nsqlookupd as seen from here.

    Attributes:
        error: why it does not answer; empty where it does.
        nodes: the nsqd that it lists, and the topics it knows of each.
    """

    address: Address
    error: str = ""
    version: str = ""
    nodes: dict[Node, set[str]] = field(default_factory=dict)


@dataclass(slots=True)
class NodeView:
    """One nsqd as seen from here; seconds.

    Attributes:
        tcp_error, http_error: why it does not answer there; empty where it does.
        features: what it offers to a client with our options.
        health: its own word, "OK" or what is wrong.
        skew: its clock minus ours; to within a second, since HTTP tells no more.
        refuses: whether it refuses a message as long as our limit.
        certificate_ends: when its TLS certificate ends, in seconds since 1970.
        topics: names of its topics.
    """

    node: Node
    tcp_error: str = ""
    http_error: str = ""
    features: Features | None = None
    health: str = ""
    version: str = ""
    skew: float | None = None
    refuses: bool = False
    certificate_ends: float | None = None
    topics: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """All of it."""

    lookupds: Sequence[LookupView]
    nodes: Sequence[NodeView]


def inspect(engine: NsqEngine) -> ClusterView:
    """Ask every server that the engine knows of, all at the same time."""
    options = engine.options
    looks = [gevent.spawn(_look_at_lookupd, address, client_of(engine.options)) for address in engine.lookupds]
    gevent.joinall(looks, raise_error=True)
    lookupds = [each.value for each in looks if each.value is not None]
    nodes = dict.fromkeys(node for view in lookupds for node in view.nodes) or dict.fromkeys(engine.nodes())
    for address in options.publish:  # where nsqlookupd does not list it, its HTTP port is a guess
        if all(node.tcp != address for node in nodes):
            nodes[Node(address, Address(address.host, address.port + 1))] = None
    listed = {node for view in lookupds for node in view.nodes}
    visits = [
        gevent.spawn(_look_at_nsqd, node, engine.http, options, is_given=node not in listed or node.tcp in options.publish)
        for node in nodes
    ]
    gevent.joinall(visits, raise_error=True)
    return ClusterView(lookupds, [each.value for each in visits if each.value is not None])


def _look_at_lookupd(address: Address, http: HttpClient) -> LookupView:
    view = LookupView(address)
    try:
        view.version = http.ask(address, "/info", Info).version
        answer = http.ask(address, "/nodes", Producers)
        for producer, node in zip(answer.producers, read_nodes(answer), strict=True):
            view.nodes[node] = set(producer.topics)
    except HttpError as error:
        view.error = describe(error)
    return view


def _look_at_nsqd(node: Node, http: HttpClient, options: NsqOptions, *, is_given: bool) -> NodeView:
    view = NodeView(node)
    by_tcp = gevent.spawn(_look_by_tcp, view, options, is_given=is_given)
    by_http = gevent.spawn(_look_by_http, view, http, options)
    gevent.joinall([by_tcp], raise_error=True)
    gevent.joinall([by_http], raise_error=True)
    return view


def _look_by_tcp(view: NodeView, options: NsqOptions, *, is_given: bool) -> None:
    try:
        session = open_session(
            view.node.tcp, options, lambda *_: None, message_timeout=options.message_timeout, is_given=is_given
        )
    except Exception as error:
        view.tcp_error = describe(error)
        return
    view.features, view.version = session.features, session.features.version
    for layer in session.layers:
        if isinstance(layer, TlsLayer):
            view.certificate_ends = layer.certificate_ends
    session.socket.close()


def _look_by_http(view: NodeView, http: HttpClient, options: NsqOptions) -> None:
    address, timeout = view.node.http, options.connect_timeout
    try:
        before = time.time()
        answer = http.exchange(address, "GET", "/stats?format=json", most=MOST_STATS)
        middle = (before + time.time()) / 2
        stats = read_as(address, "/stats", answer, Stats)
        view.health, view.version = stats.health, stats.version or view.version
        view.topics = {topic.topic_name for topic in stats.topics}
        date = answer.headers.get("Date")
        if date is not None:  # whole seconds, cut off: on the average half a second more
            view.skew = parsedate_to_datetime(date).timestamp() + 0.5 - middle
        view.refuses = _refuses(address, options.max_message_bytes, timeout)
    except (HttpError, OSError, ValueError, TypeError) as error:
        view.http_error = describe(error)


def _refuses(address: Address, size: int, timeout: float) -> bool:
    """Return whether nsqd refuses a message of `size` bytes, without sending one.

    nsqd does not tell its limit. It compares the length that a request announces before it reads the body or looks at the
    topic, so that the request's head is enough; the topic's name is no valid one, to be on the safe side.
    """
    head = (
        f"POST /pub?topic=not%20a%20topic HTTP/1.1\r\nHost: {address}\r\nContent-Length: {size}\r\n"
        f"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    connection = dial(address, timeout=timeout)
    try:
        with gevent.Timeout(timeout, TimeoutError("no answer in time")):
            connection.sendall(head.encode())
            return b" 413 " in connection.recv(64)
    finally:
        connection.close()
