"""Orders to place: made from a seed, or read from a JSON-lines file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.orders.events import OrderLine, OrderPlaced

CATALOGUE = {f"SKU-{number}": Decimal(f"{number * 7 % 90 + 4}.90") for number in range(1, 21)}
_MAX_LINE = 256 * 1024


class OrderRequest(BaseModel):
    """One line of an orders file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: str = Field(min_length=1, max_length=64)
    email: str = Field(pattern=r"^[^@\s,]+@[^@\s,]+$", max_length=254)
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    note: str | None = Field(default=None, max_length=1000)
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=1000)]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no order: its number, from 1, and why."""

    number: int
    reason: str


def make_orders(count: int, seed: int) -> Iterator[OrderPlaced]:
    """Yield `count` orders, the same for the same seed."""
    random = Random(seed)
    skus = list(CATALOGUE)
    for _ in range(count):
        lines = tuple(
            OrderLine(sku=sku, quantity=random.randint(1, 3), price=CATALOGUE[sku])
            for sku in random.sample(skus, random.randint(1, 4))
        )
        customer = random.randint(1, 5000)
        yield _placed(
            UUID(int=random.getrandbits(128), version=4),
            f"c-{customer}",
            f"customer{customer}@example.org",
            "EUR",
            None,
            lines,
        )


def read_orders(path: Path) -> Iterator[OrderPlaced | BadLine]:
    """Yield the orders of a JSON-lines file, and a BadLine for each line that is none; empty lines are passed over."""
    random = Random()
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            if len(line) > _MAX_LINE:
                yield BadLine(number, f"longer than {_MAX_LINE:,} bytes")
                continue
            try:
                request = OrderRequest.model_validate(json.loads(line))
            except ValidationError as error:
                fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
                yield BadLine(number, f"{'.'.join(str(part) for part in fault['loc']) or 'order'}: {fault['msg']}")
            except (ValueError, RecursionError) as error:
                yield BadLine(number, f"no JSON: {error}")
            else:
                yield _placed(
                    UUID(int=random.getrandbits(128), version=4),
                    request.customer_id,
                    request.email,
                    request.currency,
                    request.note,
                    request.lines,
                )


def _placed(
    order_id: UUID, customer: str, email: str, currency: str, note: str | None, lines: tuple[OrderLine, ...]
) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id,
        customer_id=customer,
        email=email,
        currency=currency,
        placed_at=datetime.now(UTC),
        total=sum((line.price * line.quantity for line in lines), Decimal(0)),
        note=note,
        lines=lines,
    )
