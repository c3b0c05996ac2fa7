"""Data: whether JSON that somebody wrote by hand is an event by its published contract."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from eventbus.contracts.contract import Contract
from eventbus.contracts.schema import DECIMAL
from eventbus.errors import ContractError, MisfitError


def choose_contract(
    contracts: Iterable[Contract], topic: str, type_name: str | None = None, version: int | None = None
) -> Contract:
    """Return the contract of a topic: the newest version that is still sent, unless one is asked for.

    Raises:
        ContractError: there is none, or several types travel on the topic and none was named.
    """
    there = [each for each in contracts if each.topic == topic]
    if not there:
        raise ContractError(
            f"topic {topic!r} has no contract; publish one, or give a class with --event, or bytes with --raw"
        )
    types = sorted({each.type for each in there})
    if type_name is None and len(types) > 1:
        raise ContractError(f"topic {topic!r} carries {', '.join(types)}; say which with --type")
    fitting = [
        each
        for each in there
        if each.type == (type_name or types[0]) and (each.retired is None if version is None else each.version == version)
    ]
    if not fitting:
        known = ", ".join(f"{each.name}{' (retired)' if each.retired else ''}" for each in there)
        raise ContractError(f"topic {topic!r} has no such contract; there are {known}")
    return max(fitting, key=lambda each: each.version)


class DataCheck:
    """Checks data against one contract.

    Raises:
        ContractError: the extra is not installed.
    """

    def __init__(self, contract: Contract) -> None:
        try:
            from jsonschema import Draft202012Validator
        except ImportError:
            raise ContractError("checking data needs an extra: pip install 'eventbus[contracts]'") from None
        self._contract = contract
        self._validator = Draft202012Validator(dict(contract.schema), format_checker=_formats())

    def check(self, data: Any) -> None:
        """Raise MisfitError, with the field, unless `data` is what the owner may send."""
        errors = sorted(self._validator.iter_errors(data), key=lambda each: list(map(str, each.absolute_path)))
        if errors:
            first = errors[0]
            place = ".".join(map(str, first.absolute_path)) or "data"
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise MisfitError(f"{self._contract.name}: field {place}: {first.message[:300]}{more}")


def _formats() -> Any:
    """Return a checker of the formats that our contracts use."""
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    for name, read in {
        "uuid": uuid.UUID,
        "date-time": _instant,
        "date": date.fromisoformat,
        "time": time.fromisoformat,
        DECIMAL: Decimal,
    }.items():
        checker.checks(name, raises=(ValueError, InvalidOperation))(_reader(read))
    return checker


def _reader(read: Any) -> Any:
    def check(value: Any) -> bool:
        if isinstance(value, str):
            read(value)
        return True

    return check


def _instant(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("no time zone")
