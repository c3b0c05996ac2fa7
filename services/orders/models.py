"""What the HTTP API takes and gives."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

Status = Literal["placed", "shipped", "rejected"]

_MOST = Decimal("9999999999.99")
"""Highest total that an event can carry."""
_PRICE = re.compile(r"(0|[1-9][0-9]{0,6})\.[0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,19}")
# control characters, line separators, and those that hide text or turn its direction
_HIDDEN = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
_PLAIN = re.compile(f"[^{_HIDDEN}]*")


class _Documented:
    """Adds to what the document says of a type: it promises exactly what is checked."""

    def __init__(self, **said: Any) -> None:
        self._said = said

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), **self._said}


def _price(value: object) -> Decimal:
    # one form alone: what is written otherwise would be shown otherwise in the API, the event and the mail
    if not isinstance(value, str) or _PRICE.fullmatch(value) is None:
        raise PydanticCustomError("price", "give a text with two decimals, as 12.90; at most 9999999.99")
    return Decimal(value)


def _count(value: object) -> object:
    if isinstance(value, str) and _COUNT.fullmatch(value) is None:
        raise PydanticCustomError("count", "give a whole number in digits")
    return value


def _plain(text: str) -> str:
    if _PLAIN.fullmatch(text) is None:
        raise PydanticCustomError("plain_text", "line breaks, control and invisible characters are not allowed")
    return text


def _address(address: str) -> str:
    # an encoded word in an address becomes a header of its own in some mail libraries (CVE-2024-6923)
    if "=?" in address or not address.isascii() or not set(address).isdisjoint('<>()[],;:"\\ \t\r\n'):
        raise PydanticCustomError(
            "plain_address", "give one address in ASCII alone, without a name, line breaks or encoded words"
        )
    try:
        found = validate_email(address, check_deliverability=False, strict=True).ascii_email
    except EmailNotValidError as error:
        raise PydanticCustomError("plain_address", "this is no address: {why}", {"why": str(error)[:200]}) from None
    if found is None:
        raise PydanticCustomError("plain_address", "this address has no form in ASCII")
    return found


Price = Annotated[
    Decimal,
    BeforeValidator(_price),
    WithJsonSchema({"type": "string", "pattern": f"^{_PRICE.pattern}$", "examples": ["12.90"]}),
]
Count = Annotated[int, BeforeValidator(_count)]
PlainText = Annotated[str, AfterValidator(_plain), _Documented(pattern=f"^{_PLAIN.pattern}$")]
Email = Annotated[str, Field(max_length=254), AfterValidator(_address), _Documented(format="email")]


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

    @model_validator(mode="after")
    def _is_affordable(self) -> Self:
        if self.total > _MOST:
            raise PydanticCustomError(
                "total", "lines: the order's total is above {most}; place more than one", {"most": str(_MOST)}
            )
        return self

    @property
    def total(self) -> Decimal:
        """Sum of all lines, with two decimals."""
        return sum((line.price * line.quantity for line in self.lines), Decimal("0.00"))


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
    limit: Count = Field(default=100, ge=1, le=1000, description="most orders of a page; long orders make it end earlier")
    before: Count | None = Field(default=None, ge=1, le=2**63 - 1, description="`next` of the page before")


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
