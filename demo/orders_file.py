"""Orders to place: made from a seed, or read from a JSON-lines file. Whether they are any good, the orders API decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

CATALOGUE = {f"SKU-{number}": Decimal(f"{number * 7 % 90 + 4}.90") for number in range(1, 21)}
_MAX_LINE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """An order to place, and where it came from: the line's number, from 1."""

    number: int
    body: Any


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no order: its number, from 1, and why."""

    number: int
    reason: str


def make_orders(count: int, seed: int) -> Iterator[Request]:
    """Yield `count` orders, the same for the same seed."""
    random = Random(seed)
    skus = list(CATALOGUE)
    for number in range(1, count + 1):
        lines = [
            {"sku": sku, "quantity": random.randint(1, 3), "price": str(CATALOGUE[sku])}
            for sku in random.sample(skus, random.randint(1, 4))
        ]
        customer = random.randint(1, 5000)
        yield Request(
            number,
            {
                "customer_id": f"c-{customer}",
                "email": f"customer{customer}@example.org",
                "currency": "EUR",
                "lines": lines,
            },
        )


def read_orders(path: Path) -> Iterator[Request | BadLine]:
    """Yield the orders of a JSON-lines file, and a BadLine for each line that is no JSON; empty lines are passed over."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            if len(line) > _MAX_LINE:
                yield BadLine(number, f"longer than {_MAX_LINE:,} bytes")
                continue
            try:
                yield Request(number, json.loads(line))
            except (ValueError, RecursionError) as error:
                yield BadLine(number, f"no JSON: {error}")
