"""Client of the orders service, for what its events do not carry."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import urllib3
from opentelemetry.propagate import inject
from pydantic import BaseModel, ConfigDict, ValidationError

from eventbus import Reject


class OrdersAwayError(Exception):
    """Raised when the orders service gives no answer now."""


class UnknownOrderError(Exception):
    """Raised when the orders service knows no such order."""


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
    """Asks the orders service; what to do when there is no answer is the handler's decision."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = urllib3.PoolManager(
            maxsize=16, timeout=urllib3.Timeout(connect=3.0, read=10.0), retries=urllib3.Retry(1, redirect=0)
        )

    def get(self, order_id: UUID) -> Order:
        """Return an order as it is now.

        Raises:
            OrdersAwayError: the service is away, or not well.
            UnknownOrderError: it does not know the order, or not yet.
            Reject: its answer is none of an orders service.
        """
        try:
            headers: dict[str, str] = dict(self._headers)
            inject(headers)  # the trace of the event goes on in the orders service
            answer = self._http.request("GET", f"{self._url}/orders/{order_id}", headers=headers)
        except urllib3.exceptions.HTTPError:
            raise OrdersAwayError from None
        if answer.status == 404:
            raise UnknownOrderError
        if answer.status != 200:
            raise OrdersAwayError
        try:
            return Order.model_validate_json(answer.data)
        except ValidationError as error:
            raise Reject(f"the answer of the orders service is no order: {error.error_count()} faults") from None
