"""The delivery simulator: it tries all that can go wrong on the way of events through handlers, in virtual time.

    from eventbus.testing import simulate

    def test_whatever_happens_an_order_ships_once() -> None:
        simulate(build, [OrderPlaced(order_id="A1"), OrderCancelled(order_id="A1")], check=lambda shop: shop.ships_once())

`entrance.py` has `simulate`, `search.py` chooses schedules, `world.py` runs one, `conductor.py` lets things go wrong.
"""

from eventbus.testing.simulation.databases import fresh_database
from eventbus.testing.simulation.entrance import simulate
from eventbus.testing.simulation.errors import SimulationError, SimulationFailedError
from eventbus.testing.simulation.search import Simulation
from eventbus.testing.simulation.world import World

__all__ = ["Simulation", "SimulationError", "SimulationFailedError", "World", "fresh_database", "simulate"]
