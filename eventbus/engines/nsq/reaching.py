"""Reaching: whether any nsqd takes a connection with our options."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gevent

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.discovery import Lookup
from eventbus.engines.nsq.handshake import describe, open_session
from eventbus.engines.nsq.options import NsqOptions
from eventbus.errors import BrokerUnreachableError
from eventbus.runtime.redaction import several


def reach(
    addresses: Callable[[], Sequence[Address]],
    lookup: Lookup | None,
    options: NsqOptions,
    *,
    is_given: bool,
    timeout: float,
) -> None:
    """Return if one of the nsqd shakes hands within `timeout` seconds.

    Raises:
        BrokerUnreachableError: none does; says which were tried.
    """
    if lookup is not None and not lookup.nodes().answered:
        tried = ", ".join(map(str, lookup.lookupds))
        raise BrokerUnreachableError(f"no nsqlookupd answers at {tried}; is it running, and is that its HTTP port?")
    found = addresses()
    if not found:
        raise BrokerUnreachableError(
            "nsqlookupd lists no nsqd; start one with -lookupd-tcp-address, and -broadcast-address as seen from here"
        )

    def attempt(address: Address) -> str:
        try:
            open_session(address, options, lambda *_: None, is_given=is_given).socket.close()
        except Exception as error:
            return describe(error)
        return ""

    tries = [gevent.spawn(attempt, address) for address in found]
    try:
        gevent.joinall(tries, timeout=timeout)
        if not any(each.value == "" for each in tries):
            reasons = [f"{address}: {each.value or 'no answer'}" for address, each in zip(found, tries, strict=True)]
            raise BrokerUnreachableError(f"no nsqd can be reached: {several(reasons)}")
    finally:
        gevent.killall(tries, block=False)
