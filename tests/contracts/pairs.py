"""Pairs of an owner and a view, and values drawn from the owner's class itself.

`python -m tests.contracts.pairs --pairs 20000 --seed 1` tries that many. Nothing here asks the rules or the edge values of
the library: a value is an object of the owner's class, dumped, sent through a codec, and read by the view's class.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import warnings
from typing import Any

from eventbus import ContractError, EncodeError, Event, EventDefinitionError
from eventbus.contracts import View, check_views, contract_of, differences, read_contract
from eventbus.contracts.schema import read_schema
from eventbus.wire.codec import JsonCodec, MsgpackCodec, decode, dump
from eventbus.wire.envelope import Envelope
from tests.contracts.random_classes import Maker

VALUES = 25


@dataclasses.dataclass
class Result:
    """What one pair showed."""

    verdict: str
    detail: str = ""


def try_pair(seed: int) -> Result:
    """Make an owner and a view and hold the verdict against what the view's class does with the owner's objects."""
    maker = Maker(seed)
    fields = maker.fields(0)
    try:
        owner = maker.event(fields, is_owner=True)
        view = maker.event(maker.changed_fields(fields, 0), is_owner=False)
        contract = read_contract(contract_of(owner, "o").to_json(), "pair")
    except (ContractError, EventDefinitionError) as error:
        return Result("refused", str(error))
    except (TypeError, ValueError) as error:  # no class of pydantic
        return Result("no class", f"{type(error).__name__}: {error}")
    own = [*differences(contract.schema, read_schema(owner)), *check_views([_view(owner)], [contract])]
    if own:
        return Result("WRONG: a class does not fit itself", f"{own[0]} {contract.schema}")
    found = check_views([_view(view)], [contract])
    refused = refused_object(maker, fields, owner, view)
    if refused is not None and not found:
        return Result("WRONG: false fit", f"{refused} {contract.schema} {read_schema(view)}")
    if not found:
        return Result("fits")
    if any(each.counterexample for each in found) or refused is not None:
        return Result("breaks, shown")
    return Result("breaks by rule", str(found[0]))


def refused_object(maker: Maker, fields: tuple[Any, ...], owner: type[Event], view: type[Event]) -> str | None:
    """Return an object of the owner that the view refuses, as text; None where it takes all that were drawn."""
    for number in range(VALUES):
        try:
            made = owner.__pydantic_validator__.validate_python(maker.draw(("model", 0, fields)))
            data = dump(made)
        except (ValueError, EncodeError):
            continue
        codec = (MsgpackCodec, JsonCodec)[number % 2]()
        sent = codec.encode(Envelope("1", "o", "E", "2026-01-31T12:00:00Z", data))
        try:
            view.__pydantic_validator__.validate_python(decode(sent).data, extra="ignore")
        except ValueError as error:
            return f"{json.dumps(data)[:300]}: {error}"
    return None


def _view(event_type: type[Event]) -> View:
    return View("reader", "reader", "read", event_type)


def run(pairs: int, seed: int) -> dict[str, list[str]]:
    """Try pairs; return the details of each verdict."""
    found: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(pairs):
            result = try_pair(seed * 1_000_003 + number)
            found.setdefault(result.verdict, []).append(f"seed {seed * 1_000_003 + number}: {result.detail}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = run(options.pairs, options.seed)
    for verdict, details in sorted(found.items()):
        sys.stdout.write(f"{len(details):7,} {verdict}\n")
        if verdict.startswith("WRONG"):
            sys.stdout.writelines(f"        {each[:1500]}\n" for each in details[:5])
    return 1 if any(verdict.startswith("WRONG") for verdict in found) else 0


if __name__ == "__main__":
    sys.exit(main())
