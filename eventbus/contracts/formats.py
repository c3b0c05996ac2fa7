"""Formats: what texts of each form are like: an example, edges, how long they may be, and which form is another's too."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import AnyUrl, AwareDatetime, TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class Format:
    """One form of text.

    Attributes:
        example: a plain text of it.
        edges: others, far from the plain one.
        shortest, longest: characters; `longest` None where there is no limit.
        also: the forms that each such text has too.
        looks: a pattern that each such text has; pydantic reads more, such as seconds since 1970.
    """

    example: str
    edges: tuple[str, ...] = ()
    shortest: int = 1
    longest: int | None = None
    also: tuple[str, ...] = ()
    looks: str = ""


def _uuid(version: int) -> Format:
    return Format(f"018f0000-0000-{version}000-8000-000000000001", (), 36, 36, ("uuid",))


_DATE, _CLOCK = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d(:\d\d([.,]\d+)?)?([zZ]|[+-]\d\d:?\d\d)?"
FORMATS: dict[str, Format] = {
    "uuid": Format("018f0000-0000-7000-8000-000000000001", ("ffffffff-ffff-4fff-bfff-ffffffffffff",), 36, 36),
    **{f"uuid{version}": _uuid(version) for version in (1, 3, 4, 5, 6, 7, 8)},
    "date-time": Format(
        "2026-01-31T12:00:00Z",
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2024-02-29T23:59:59.999999Z"),
        *(20, 32, ()),
        rf"{_DATE}[tT ]{_CLOCK}",
    ),
    "date": Format("2026-01-31", ("0001-01-01", "9999-12-31", "2024-02-29"), 10, 10, (), _DATE),
    "time": Format("12:00:00Z", ("00:00:00", "23:59:59.999999", "12:00:00+05:30"), 8, 21, (), _CLOCK),
    "duration": Format("PT1H", ("-P1D", "PT0S", "P3650D", "P1DT0.000001S"), 3, None, (), r"[+-]?P.*"),
    "email": Format("ada@example.org", ("a.b+c@sub.example.org",), 3, None, ("name-email",)),
    "name-email": Format("Ada <ada@example.org>", ("ada@example.org",), 3),
    "uri": Format(
        "https://example.org/",
        ("https://example.org/a", "ftp://example.org/", "custom://a/b?c=d#e", "https://example.org/A9"),
        1,
    ),
    "multi-host-uri": Format("https://a.example.org,b.example.org/", (), 1),
    "ipv4": Format(
        *("192.0.2.1", ("0.0.0.0", "255.255.255.255"), 7, 15),
        ("ipv4network", "ipv4interface", "ipvanyaddress", "ipvanynetwork", "ipvanyinterface"),
    ),
    "ipv6": Format(
        *("2001:db8::1", ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 2, 45),
        ("ipv6network", "ipv6interface", "ipvanyaddress", "ipvanynetwork", "ipvanyinterface"),
    ),
    "ipv4network": Format("10.0.0.0/8", ("0.0.0.0/0",), 7, 18, ("ipv4interface", "ipvanynetwork", "ipvanyinterface")),
    "ipv6network": Format("2001:db8::/32", ("::/0",), 2, 49, ("ipv6interface", "ipvanynetwork", "ipvanyinterface")),
    "ipv4interface": Format("10.0.0.1/8", (), 7, 18, ("ipvanyinterface",)),
    "ipv6interface": Format("2001:db8::1/32", (), 2, 49, ("ipvanyinterface",)),
    "ipvanyaddress": Format("192.0.2.1", ("2001:db8::1",), 2, 45, ("ipvanyinterface", "ipvanynetwork")),
    "ipvanynetwork": Format("10.0.0.0/8", ("2001:db8::/32",), 2, 49, ("ipvanyinterface",)),
    "ipvanyinterface": Format("10.0.0.1/8", ("2001:db8::1/32",), 2, 49),
    "zoneinfo": Format("Europe/Berlin", ("UTC",), 1),
    "path": Format("a/b.txt", ("/",), 0),
    "regex": Format("^a+$", (), 0),
    "integer": Format("1", ("0", "-9007199254740991", "9007199254740991"), 1, None, ("number", "decimal"), r"[+-]?\d+"),
    "number": Format("1.5", ("0.0", "-1e+300"), 1, None),
    "decimal": Format("1.00", ("0", "-123456789.12"), 1, None),
    "color": Format("#aabbcc", (), 1),
}


def is_a(form: str | None, wanted: str) -> bool:
    """Whether each text of `form` has the form `wanted` too."""
    return form == wanted or (form in FORMATS and wanted in FORMATS[form].also)


PARSERS: dict[str, Callable[[str], Any]] = {
    "date-time": TypeAdapter(AwareDatetime).validate_python,
    "date": TypeAdapter(date).validate_python,
    "time": TypeAdapter(time).validate_python,
    "duration": TypeAdapter(timedelta).validate_python,
}


@cache
def _reader(form: str) -> Callable[[str], Any] | None:
    import ipaddress
    import uuid
    from zoneinfo import ZoneInfo

    from pydantic import IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork

    kinds: dict[str, Any] = {
        **{"uuid": uuid.UUID, "uri": AnyUrl, "ipv4": ipaddress.IPv4Address, "ipv6": ipaddress.IPv6Address},
        **{"ipv4network": ipaddress.IPv4Network, "ipv6network": ipaddress.IPv6Network, "zoneinfo": ZoneInfo},
        **{"ipv4interface": ipaddress.IPv4Interface, "ipv6interface": ipaddress.IPv6Interface, "integer": int},
        **{"ipvanyaddress": IPvAnyAddress, "ipvanynetwork": IPvAnyNetwork, "ipvanyinterface": IPvAnyInterface},
        **{"number": float, "decimal": Decimal},
    }
    if form in PARSERS:
        return PARSERS[form]
    if form in ("email", "name-email"):
        try:
            from pydantic import EmailStr, NameEmail

            return TypeAdapter(EmailStr if form == "email" else NameEmail).validate_python
        except ImportError:  # the package email-validator is not installed, and no class here can have such a field
            return _looks_like_an_address
    if form.startswith("uuid") and form[4:].isdigit():
        return lambda text: _uuid_of(text, int(form[4:]))
    return TypeAdapter(kinds[form]).validate_python if form in kinds else None


def _uuid_of(text: str, version: int) -> None:
    import uuid

    if uuid.UUID(text).version != version:
        raise ValueError("another version")


def _looks_like_an_address(text: str) -> None:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("no address")


def has_form(text: str, form: str) -> bool:
    """Whether a text has a form, as the type that writes it reads it; of a form that is not known always."""
    known = FORMATS.get(form)
    if known is not None and known.looks and not re.fullmatch(known.looks, text):
        return False
    read = _reader(form)
    if read is None:
        return True
    try:
        value = read(text)
    except (ValidationError, ValueError, ArithmeticError):
        return False
    return not (form == "decimal" and isinstance(value, Decimal) and not value.is_finite())


def instant(text: str, form: str) -> datetime | date | time | timedelta:
    """Return the moment or duration that a bound or value names; raises ValueError."""
    return PARSERS[form](text)  # type: ignore[no-any-return]
