"""What the HTTP API takes and gives."""

from __future__ import annotations

import unicodedata
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic import EmailStr as _EmailStr
from pydantic_core import PydanticCustomError

Status = Literal["placed", "shipped", "rejected"]

# a pattern and not "any decimal": the document must not promise what is refused
Price = Annotated[
    Decimal,
    Field(ge=0, le=Decimal("9999999.99"), max_digits=9, decimal_places=2),
    WithJsonSchema({"type": "string", "pattern": r"^(0|[1-9][0-9]{0,6})\.[0-9]{2}$", "examples": ["12.90"]}),
]


def _plain(text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise PydanticCustomError("plain_text", "line breaks and control characters are not allowed")
    return text


def _only_address(address: object) -> object:
    # "Ada <ada@example.org>" would be taken, and stripped of what is around the address
    if isinstance(address, str) and not set(address).isdisjoint('<>()[],;:"\\ \t\r\n'):
        raise PydanticCustomError("plain_address", "give one address alone, without a name or line breaks")
    return address


def _plain_address(address: str) -> str:
    # an encoded word in an address becomes a header of its own in some mail libraries (CVE-2024-6923)
    if "=?" in address or not address.isascii():
        raise PydanticCustomError("plain_address", "only an address in ASCII, without encoded words, is accepted")
    return address


PlainText = Annotated[str, AfterValidator(_plain)]
Email = Annotated[_EmailStr, Field(max_length=254), BeforeValidator(_only_address), AfterValidator(_plain_address)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=False)


class LineIn(_Model):
    """One article of a new order."""

    sku: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", examples=["SKU-1"])
    quantity: int = Field(strict=True, ge=1, le=10_000, examples=[2])
    price: Price


class OrderIn(_Model):
    """A new order."""

    customer_id: PlainText = Field(min_length=1, max_length=64, examples=["c-17"])
    email: Email = Field(examples=["ada@example.org"])
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    note: PlainText | None = Field(default=None, max_length=1000)
    lines: tuple[LineIn, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _each_article_once(self) -> Self:
        counts = Counter(line.sku for line in self.lines)
        twice = next((index for index, line in enumerate(self.lines) if counts[line.sku] > 1), None)
        if twice is not None:
            raise PydanticCustomError(
                "duplicate_line",
                "lines.{index}.sku: {sku} stands in more than one line; add the quantities up",
                {"index": twice, "sku": self.lines[twice].sku},
            )
        return self


class OrderOut(_Model):
    """An order, and how far it is."""

    order_id: UUID
    status: Status
    customer_id: str
    email: str
    currency: str
    total: str
    note: str | None
    lines: list[dict[str, Any]]
    placed_at: datetime
    tracking_number: str | None
    reason: str | None
    confirmed_at: datetime | None


class OrderPath(_Model):
    order_id: UUID


class ListQuery(_Model):
    """Which orders to list; the newest first."""

    status: Status | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    before: int | None = Field(default=None, ge=1, description="`next` of the page before")


class OrderList(_Model):
    orders: list[OrderOut]
    next: int | None = Field(description="give it as `before` for the next page; null on the last one")


class IdempotencyHeader(BaseModel):
    """The same key and body give the same answer, however often they are sent."""

    key: str | None = Field(default=None, alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,255}$")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = Field(default=None, description="which field of the request is wrong, as lines.0.quantity")


class Health(BaseModel):
    status: str
    checks: dict[str, str] | None = None
