"""Client of the orders service, for what its events do not carry."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import urllib3
from opentelemetry.propagate import inject
from pydantic import BaseModel, ConfigDict, ValidationError

from eventbus import Reject, RetryLater


class Line(BaseModel):
    sku: str
    quantity: int
    price: Decimal


class Order(BaseModel):
    """What this service reads of an order's page."""

    model_config = ConfigDict(extra="ignore")

    order_id: UUID
    email: str
    currency: str
    lines: tuple[Line, ...]


class OrdersClient:
    """Asks the orders service; a service that is away only makes the handler come again."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = urllib3.PoolManager(
            maxsize=16, timeout=urllib3.Timeout(connect=3.0, read=10.0), retries=urllib3.Retry(1, redirect=0)
        )

    def get(self, order_id: UUID) -> Order:
        """Return an order as it is now.

        Raises:
            RetryLater: the service is away, or does not know the order yet.
            Reject: its answer is none of an orders service.
        """
        try:
            headers: dict[str, str] = {}
            inject(headers)  # the trace of the event goes on in the orders service
            answer = self._http.request("GET", f"{self._url}/orders/{order_id}", headers=headers)
        except urllib3.exceptions.HTTPError:
            raise RetryLater(after=2.0) from None
        if answer.status != 200:
            raise RetryLater(after=2.0)
        try:
            return Order.model_validate_json(answer.data)
        except ValidationError as error:
            raise Reject(f"the answer of the orders service is no order: {error.error_count()} faults") from None
