"""Checks of an NSQ cluster: reachable, in agreement, clocks, limits, certificates."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from eventbus.bus import Bus
from eventbus.doctor.findings import Finding, fault, note, ok, warning
from eventbus.engines.nsq.engine import NsqEngine
from eventbus.engines.nsq.inspection import ClusterView, LookupView, NodeView, inspect
from eventbus.service import Service

_SKEW = 2.0
"""Seconds between clocks that matter: HTTP's Date has whole seconds, and delays are told in tenths."""
_DAY = 86_400.0
_SOON = 30 * _DAY


def check_cluster(bus: Bus, engine: NsqEngine, services: Sequence[Service]) -> Iterator[Finding]:
    """Yield what is to be said of the servers."""
    view = inspect(engine)
    yield from _lookupds(view, engine)
    for node in view.nodes:
        yield from _reachable(node)
        yield from _limits(node, bus, engine, services)
        yield from _clock(node)
        yield from _certificate(node, engine)
    yield from _versions(view)
    yield from _agreement(view)


def _lookupds(view: ClusterView, engine: NsqEngine) -> Iterator[Finding]:
    for each in view.lookupds:
        if each.error:
            yield fault(
                "nsqlookupd", f"nsqlookupd {each.address} does not answer: {each.error}", "start it, or correct its address"
            )
        else:
            yield ok("nsqlookupd", f"nsqlookupd {each.address} {each.version} lists {len(each.nodes)} nsqd")
    if len(view.lookupds) == 1:
        yield note("nsqlookupd", "there is one nsqlookupd", "run two: while it is down, no new nsqd is found")
    if not view.lookupds:
        yield note("nsqlookupd", "nsqd are addressed directly", "use nsq:// with nsqlookupd, and nsqd can come and go")
    if not view.nodes:
        yield fault("nsqd", "no nsqd is known", "start one with -lookupd-tcp-address for each nsqlookupd")
    elif len(view.nodes) == 1 and not engine.options.publish:
        yield note("nsqd", "there is one nsqd", "run two, and publish with copies=2, so that a crash loses nothing")


def _reachable(node: NodeView) -> Iterator[Finding]:
    where = node.node.tcp
    if node.tcp_error:
        mend = "start it; where nsqlookupd lists a name that means nothing here, give that nsqd -broadcast-address"
        yield fault("nsqd", f"nsqd {where} cannot be reached: {node.tcp_error}", mend)
    elif node.http_error:
        yield warning(
            "nsqd",
            f"nsqd {where} takes events, but not HTTP on {node.node.http}: {node.http_error}",
            "open its HTTP port to operators, or name it with the option http=: statistics and pausing need it",
        )
    elif node.health != "OK":
        yield fault("nsqd", f"nsqd {where} says of itself: {node.health}", "look at its log and its disk")
    else:
        yield ok("nsqd", f"nsqd {where} {node.version} has {len(node.topics)} topics")


def _limits(node: NodeView, bus: Bus, engine: NsqEngine, services: Sequence[Service]) -> Iterator[Finding]:
    where = node.node.tcp
    if node.refuses:
        yield fault(
            "message size",
            f"nsqd {where} refuses messages as long as ours may be, {engine.max_message_bytes:,} bytes",
            f"start it with -max-msg-size={engine.max_message_bytes}, or set EVENTBUS_NSQ_MAX_MESSAGE_BYTES to its limit",
        )
    features = node.features
    if features is None:
        return
    if bus.message_timeout > features.max_message_timeout:
        yield fault(
            "timeouts",
            f"the message timeout of {bus.message_timeout:g} s is above nsqd {where}'s limit of "
            f"{features.max_message_timeout:g} s, and connections are refused",
            "lower EVENTBUS_MESSAGE_TIMEOUT, or raise its -max-msg-timeout",
        )
    for service in services:
        for binding in service.bindings:
            if binding.timeout > features.max_message_timeout:
                yield fault(
                    "timeouts",
                    f"{binding.name} may run {binding.timeout:g} s, and nsqd {where} takes a delivery back after "
                    f"{features.max_message_timeout:g} s, touched or not",
                    f"start it with -max-msg-timeout={int(binding.timeout * 2)}s, or lower the handler's timeout",
                )
    if bus.max_in_flight > features.max_rdy:
        yield note(
            "in flight",
            f"nsqd {where} lets a connection hold {features.max_rdy:,} deliveries; max_in_flight is {bus.max_in_flight:,}",
            f"nothing is wrong; -max-rdy-count={bus.max_in_flight} lets it hold more",
        )


def _clock(node: NodeView) -> Iterator[Finding]:
    if node.skew is None:
        return
    if abs(node.skew) > _SKEW:
        direction = "ahead of" if node.skew > 0 else "behind"
        yield warning(
            "clock",
            f"the clock of nsqd {node.node.tcp} is {abs(node.skew):.0f} s {direction} this one",
            "let both follow NTP: lag, expiry and delays are told by clocks",
        )
    else:
        yield ok("clock", f"the clock of nsqd {node.node.tcp} agrees with this one, to {_SKEW:g} s")


def _certificate(node: NodeView, engine: NsqEngine) -> Iterator[Finding]:
    if not engine.options.tls:
        return
    where = node.node.tcp
    if not engine.options.tls_verify:
        yield warning("tls", f"the certificate of nsqd {where} is not verified", "set tls_ca, and tls_verify=true")
    elif node.certificate_ends is not None:
        days = (node.certificate_ends - time.time()) / _DAY
        if days * _DAY < _SOON:
            yield warning("tls", f"the certificate of nsqd {where} ends in {days:.0f} days", "renew it, and restart nsqd")
        else:
            yield ok("tls", f"the certificate of nsqd {where} is good for {days:.0f} days")


def _versions(view: ClusterView) -> Iterator[Finding]:
    versions = sorted({node.version for node in view.nodes if node.version})
    if len(versions) > 1:
        yield warning("nsq versions", f"nsqd of several versions: {', '.join(versions)}", "bring all to the newest of them")


def _agreement(view: ClusterView) -> Iterator[Finding]:
    """Whether all nsqlookupd know the same, and whether it is what the nsqd say."""
    answering = [each for each in view.lookupds if not each.error]
    for lookupd in answering:
        yield from _missing_nodes(lookupd, view.nodes)
        for node, listed in lookupd.nodes.items():
            real = next((each for each in view.nodes if each.node == node and not each.http_error), None)
            if real is None:
                continue
            unknown = {name for name in real.topics - listed if not name.endswith("#ephemeral")}
            if unknown:
                yield warning(
                    "agreement",
                    f"nsqlookupd {lookupd.address} does not know {_some(unknown)} of nsqd {node.tcp}",
                    f"consumers do not find it: give that nsqd -lookupd-tcp-address for {lookupd.address.host}",
                )
    if len(answering) > 1 and len({frozenset(each.nodes) for each in answering}) == 1:
        yield ok("agreement", f"{len(answering)} nsqlookupd list the same nsqd")


def _missing_nodes(lookupd: LookupView, nodes: Sequence[NodeView]) -> Iterator[Finding]:
    missing = [each.node.tcp for each in nodes if each.node not in lookupd.nodes]
    if missing:
        yield fault(
            "agreement",
            f"nsqlookupd {lookupd.address} does not list nsqd {', '.join(map(str, missing))}",
            f"give it -lookupd-tcp-address for {lookupd.address.host} too: every nsqd must tell every nsqlookupd",
        )


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    more = len(names) - len(shown)
    return f"topic {', '.join(shown)}{f' and {more} more' if more else ''}"
