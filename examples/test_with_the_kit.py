"""A test written with the testing kit: virtual time, faults on request, and a complete record.

pytest examples/test_with_the_kit.py
"""

from eventbus import Event, Retry, Service
from eventbus.testing import Harness


class OrderPlaced(Event, topic="orders_placed"):
    order_id: str


class OrderShipped(Event, topic="orders_shipped"):
    order_id: str


service = Service("fulfillment")


@service.on(OrderPlaced, retry=Retry(first=300.0, ceiling=300.0))
def ship(order: OrderPlaced) -> OrderShipped:
    return OrderShipped(order_id=order.order_id)


def test_an_order_is_shipped_although_the_first_two_attempts_fail(harness: Harness) -> None:
    harness.start(service.replica())
    harness.fail_next(2, event_type=OrderPlaced)
    harness.publish(OrderPlaced(order_id="A1"))
    harness.settle()  # up to ten minutes of retries pass in no time
    assert harness.published(OrderShipped) == [OrderShipped(order_id="A1")]
    assert harness.published_types() == ["OrderPlaced", "OrderShipped"]  # and nothing else
    assert harness.dead_letters() == []
