"""The testing kit: run services on the memory engine, in virtual time, and look at what they did.

    from eventbus.testing import Harness

    def test_an_order_is_shipped():
        with Harness(service) as harness:
            harness.publish(OrderPlaced(order_id="A1"))
            harness.settle()
            assert harness.published(OrderShipped) == [OrderShipped(order_id="A1")]

The pytest plugin brings the same as the fixture `harness`.
"""

from eventbus.testing.clock import VirtualClock
from eventbus.testing.harness import HandlerFailedError, Harness, NotSettledError
from eventbus.testing.record import InjectedFailure
from eventbus.testing.simulation import SimulationError, SimulationFailedError, fresh_database, simulate

__all__ = [
    "HandlerFailedError",
    "Harness",
    "InjectedFailure",
    "NotSettledError",
    "SimulationError",
    "SimulationFailedError",
    "VirtualClock",
    "fresh_database",
    "simulate",
]
