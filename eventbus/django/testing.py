"""For tests with Django's `TestCase`, whose transactions never commit: what was added, and a relay for the harness."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, TypeVar

from django.db import DEFAULT_DB_ALIAS

from eventbus.django.models import OutboxEvent
from eventbus.event import Event, event_info, event_topic
from eventbus.wire.codec import decode

if TYPE_CHECKING:
    from eventbus.bus import Bus

E = TypeVar("E", bound=Event)


def added(event_type: type[E], *, using: str = DEFAULT_DB_ALIAS) -> list[E]:
    """Return the events of this type that the outbox holds, in the order in which they were added."""
    rows = OutboxEvent.objects.using(using).filter(topic=event_topic(event_type), type=event_info(event_type).name)
    return [event_type.model_validate(decode(bytes(row.body)).data) for row in rows.order_by("id")]


def relay(bus: Bus, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Publish on a harness's bus what waits in the outbox, as a relay would after the commit; return how many events.

    Delays and expiries count from here in the harness's virtual time.
    """
    publisher = bus.make_publisher(bus.source, bus.middleware)
    rows = list(OutboxEvent.objects.using(using).filter(published_at=None).order_by("id"))
    ahead = bus.engine.clock.time() - time()
    for row in rows:
        envelope = decode(bytes(row.body))
        if envelope.expires_at is not None:
            envelope.expires_at += ahead
        publisher.send(row.topic, envelope, max(0.0, row.due_at - time()), 10.0)
    OutboxEvent.objects.using(using).filter(pk__in=[row.pk for row in rows]).update(published_at=time())
    return len(rows)
