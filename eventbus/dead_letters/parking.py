"""Parking: a delivery that cannot be handled becomes a dead letter on a topic of its channel's own."""

from __future__ import annotations

from eventbus.dead_letters.letter import write_letter
from eventbus.engines.base import Delivery, Engine
from eventbus.names import PARKED, dead_letter_topic
from eventbus.runtime.randomness import Randomness
from eventbus.wire.envelope import Envelope


def park(
    engine: Engine,
    delivery: Delivery,
    *,
    topic: str,
    channel: str,
    service: str,
    reason: str,
    error: BaseException | None,
    attempts: int,
    envelope: Envelope | None,
    timeout: float,
    randomness: Randomness,
) -> None:
    """Publish the dead letter of `delivery`, confirmed; the caller finishes the delivery after it, and not otherwise.

    Raises:
        PublishError: when it could not be parked.
    """
    body = write_letter(
        delivery,
        topic=topic,
        channel=channel,
        service=service,
        reason=reason,
        error=error,
        attempts=attempts,
        envelope=envelope,
        now=engine.clock.time(),
        randomness=randomness,
    )
    if len(body) > engine.max_message_bytes:
        body = delivery.body  # somebody else's message of the full size: its bytes alone are worth more than our label
    dead = dead_letter_topic(topic, channel)
    engine.declare(dead, [PARKED])
    engine.publish(dead, body, delay=0.0, timeout=timeout)
