"""Whole object or reference: what an event should carry.

Whole: the event has all that its subscribers need; they work while its owner is down, and see the order as it was placed.
Reference: the event has the id alone; subscribers ask the owner, and see the order as it is now. Choose the whole object
unless it is large, secret, or of use only when fresh.

    python examples/whole_or_reference.py
"""

import gevent

from eventbus import Bus, Event, RetryLater, Service

ORDERS = {7: {"email": "ada@example.org", "total": "129.90"}}  # the owner's database


class OrderPlaced(Event, topic="orders_whole_example"):
    """Whole: all that a subscriber needs."""

    order_id: int
    email: str
    total: str


class OrderChanged(Event, topic="orders_reference_example"):
    """Reference: where to ask."""

    order_id: int


service = Service("email_confirmation")
mails: list[str] = []


@service.on(OrderPlaced)
def confirm(order: OrderPlaced) -> None:
    mails.append(f"{order.email}: your order of {order.total}")


@service.on(OrderChanged)
def tell(change: OrderChanged) -> None:
    order = ORDERS.get(change.order_id)  # stands for a call of the owner's API, which may be down
    if order is None:
        raise RetryLater(after=1.0)
    mails.append(f"{order['email']}: your order is now {order['total']}")


def main() -> None:
    with Bus(source="orders") as bus:
        bus.start(service)
        bus.publish(OrderPlaced(order_id=7, **ORDERS[7]))
        ORDERS[7]["total"] = "99.00"
        bus.publish(OrderChanged(order_id=7))
        with gevent.Timeout(10):
            while len(mails) < 2:
                gevent.sleep(0.01)
    print("\n".join(sorted(mails)))


if __name__ == "__main__":
    main()
