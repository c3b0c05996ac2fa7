from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from eventbus import Retry
from eventbus.testing import Harness
from services.fulfillment import app as fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.orders import app as orders
from services.orders.settings import OrdersSettings


@pytest.fixture
def harness() -> Iterator[Harness]:
    with Harness() as made:
        yield made


@pytest.fixture
def shop(new_url: Callable[[], str], harness: Harness) -> Iterator[orders.OrdersApp]:
    """The orders service on both kinds of databases in turn, started."""
    made = orders.build(OrdersSettings(database_url=SecretStr(new_url()), port=0), retry=Retry(first=0.1))
    harness.start(made.service)
    yield made
    harness.close()
    made.store.database.close()


@pytest.fixture
def make_warehouse(new_url: Callable[[], str], harness: Harness) -> Iterator[Callable[..., fulfillment.FulfillmentApp]]:
    """Starts fulfillment services with the stock that is asked for, on both kinds of databases in turn."""
    made: list[fulfillment.FulfillmentApp] = []

    def make(**stock: int) -> fulfillment.FulfillmentApp:
        quantities = {name.replace("_", "-"): quantity for name, quantity in stock.items()}
        made.append(fulfillment.build(FulfillmentSettings(database_url=SecretStr(new_url()), stock=quantities)))
        harness.start(made[-1].service)
        return made[-1]

    yield make
    harness.close()
    for each in made:
        each.warehouse.database.close()


@pytest.fixture
def body() -> dict[str, Any]:
    """An order as a client sends it."""
    return {
        "customer_id": "c-1",
        "email": "ada@example.org",
        "currency": "EUR",
        "lines": [{"sku": "SKU-1", "quantity": 2, "price": "10.00"}],
    }


@pytest.fixture
def data(tmp_path: Path) -> str:
    """URL of a database file of this test."""
    return f"sqlite:///{tmp_path / 'service.db'}"
