"""Decoding: from delivered bytes to a received event and its route, or to the answer where nothing is to be handled."""

from __future__ import annotations

from collections.abc import Mapping

from eventbus.delivery.acknowledgement import Acknowledger
from eventbus.delivery.received import Received, Source
from eventbus.delivery.routes import Route, first_fault
from eventbus.delivery.unbegun import Unbegun
from eventbus.engines.base import Delivery
from eventbus.errors import DecodeError
from eventbus.signing import signer_of
from eventbus.wire.codec import Limits, decode


class Decoder:
    """Opens the deliveries of one topic of one service."""

    def __init__(
        self, source: Source, topic: str, acknowledger: Acknowledger, routes: Mapping[str, Route], unbegun: Unbegun
    ) -> None:
        self.unknown_fields = 0
        """Events that had more fields than their handler reads."""
        self._source = source
        self._acknowledger = acknowledger
        self._routes = routes
        self._unbegun = unbegun
        self._limits = Limits(max_bytes=source.host.engine.max_message_bytes)
        self._max_depth = source.host.max_depth
        self._signer = signer_of(source.host.engine)
        self._topic = topic
        self._channel = source.service.channel

    def open(self, delivery: Delivery) -> tuple[Route, Received] | None:
        """Return what is to be handled and by whom; None where the delivery got its answer here."""
        try:
            envelope = decode(delivery.body, self._limits)
        except DecodeError as error:
            self._acknowledger.park(delivery, None, f"not decodable: {error.reason}", None, delivery.attempts)
            return None
        if self._signer is not None:
            doubt = self._signer.refuses(self._topic, self._channel, envelope)
            if doubt is not None:
                # as bytes of nobody: what it says of itself settles nothing and frees nothing
                self._acknowledger.park(delivery, None, doubt, None, delivery.attempts)
                return None
        attempt = self._unbegun.attempt(delivery) if self._unbegun.counts else delivery.attempts
        if envelope.replay_for is not None or envelope.deliver_at is not None or envelope.expires_at is not None:
            if not self._acknowledger.is_due(delivery, envelope):
                return None
            attempt += envelope.prior_attempts
        route = self._routes.get(envelope.type)
        if route is None:
            self._acknowledger.leave_unhandled(delivery, envelope)
            return None
        if envelope.depth > self._max_depth:
            reason = f"loop: {envelope.depth} events caused one another; limit {self._max_depth}"
            self._acknowledger.park(delivery, envelope, reason, None, attempt)
            return None
        if attempt >= route.attempts and not self._acknowledger.may_begin(route.binding, delivery, envelope, attempt):
            return None
        data = envelope.data
        try:
            event = route.validate(data, extra="ignore")
        except BaseException as error:  # a class's own validators may raise anything
            self._acknowledger.park(delivery, envelope, f"invalid: {first_fault(error)}", None, attempt)
            return None
        if data.__class__ is dict and len(data) > route.known_fields:
            self.unknown_fields += 1
        return route, Received(self._source, delivery, envelope, event, attempt)
