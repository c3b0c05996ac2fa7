"""Step 4, publish and subscribe: the observer pattern between services.

Both services get every order, each on its own channel, and the publisher knows neither.

    python examples/pubsub.py
"""

import gevent

from eventbus import Bus, Event, Service


class OrderPlaced(Event, topic="orders_placed_example"):
    """A customer's order was accepted."""

    order_id: int


fulfillment, email_confirmation = Service("fulfillment"), Service("email_confirmation")
shipped: set[int] = set()
confirmed: set[int] = set()


@fulfillment.on(OrderPlaced)
def ship(order: OrderPlaced) -> None:
    shipped.add(order.order_id)


@email_confirmation.on(OrderPlaced)
def confirm(order: OrderPlaced) -> None:
    confirmed.add(order.order_id)


def main() -> None:
    with Bus(source="orders") as bus:
        bus.start(fulfillment, email_confirmation)
        bus.publish_all([OrderPlaced(order_id=number) for number in range(10)])
        with gevent.Timeout(10):
            while not len(shipped) == len(confirmed) == 10:
                gevent.sleep(0.01)
    print(f"{len(shipped)} shipped, {len(confirmed)} confirmed")


if __name__ == "__main__":
    main()
