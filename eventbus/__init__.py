"""eventbus: typed domain events between Python services, on gevent and NSQ.

    from eventbus import Bus, Event, Service

    class OrderPlaced(Event, topic="orders_placed"):
        order_id: str

    service = Service("fulfillment")

    @service.on(OrderPlaced)
    def ship(order: OrderPlaced) -> None:
        print("shipped", order.order_id)

    bus = Bus("memory://")
    bus.start(service)
    bus.publish(OrderPlaced(order_id="A1"))
    bus.stop()

Importing this package patches nothing and loads neither gevent nor an engine; `Bus` is loaded when it is first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventbus.backoff import Backoff
from eventbus.context import Context
from eventbus.errors import (
    BusStateError,
    ConfigurationError,
    ContractError,
    DecodeError,
    EncodeError,
    EventBusError,
    EventDefinitionError,
    HandlerDefinitionError,
    HandlerResultError,
    HandlerTimeoutError,
    InvalidNameError,
    MessageTooLargeError,
    NotSent,
    OutcomeUnknown,
    PublishError,
    Reject,
    Rejected,
    ReplayError,
    RetryLater,
    UnknownEngineError,
)
from eventbus.event import Event, Value
from eventbus.handlers.binding import Batch
from eventbus.middleware import Middleware, Outcome
from eventbus.retry import Retry
from eventbus.service import Service
from eventbus.version import __version__ as __version__
from eventbus.wire.personal import Personal

if TYPE_CHECKING:
    from eventbus.bus import Bus
    from eventbus.delivery.draining import DrainReport
    from eventbus.publisher import Publisher

__all__ = [  # noqa: RUF022 - grouped by concept
    # events
    "Event",
    "Value",
    "Personal",
    # services
    "Service",
    "Context",
    "Retry",
    "Backoff",
    "Batch",
    "Reject",
    "RetryLater",
    # the bus
    "Bus",
    "Publisher",
    "DrainReport",
    "Middleware",
    "Outcome",
    # errors
    "EventBusError",
    "ConfigurationError",
    "InvalidNameError",
    "EventDefinitionError",
    "HandlerDefinitionError",
    "UnknownEngineError",
    "ContractError",
    "EncodeError",
    "MessageTooLargeError",
    "DecodeError",
    "PublishError",
    "Rejected",
    "NotSent",
    "OutcomeUnknown",
    "BusStateError",
    "HandlerTimeoutError",
    "HandlerResultError",
    "ReplayError",
]


def __getattr__(name: str) -> Any:
    if name == "Bus":
        from eventbus.bus import Bus

        return Bus
    if name == "Publisher":
        from eventbus.publisher import Publisher

        return Publisher
    if name == "DrainReport":
        from eventbus.delivery.draining import DrainReport

        return DrainReport
    raise AttributeError(f"module 'eventbus' has no attribute {name!r}")
