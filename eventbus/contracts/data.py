"""Data: whether JSON that somebody wrote by hand is an event by its published contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventbus.contracts.conform import Conformance
from eventbus.contracts.contract import Contract
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
    """Checks data against one contract, with all that readers ask: bounds of decimals and times, base64, addresses."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._conformance = Conformance(contract.schema)

    def check(self, data: Any) -> None:
        """Raise MisfitError, with the field, unless `data` is what the owner may send."""
        faults = list(self._conformance.faults(self._contract.schema, data))
        if faults:
            (place, reason), *others = faults
            more = f" (and {len(others)} more)" if others else ""
            raise MisfitError(f"{self._contract.name}: field {place or 'data'}: {reason[:300]}{more}")
