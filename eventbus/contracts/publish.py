"""Publish: writes the contracts of an owner's event classes, once for each version and never differently.

What is published stays: a class whose shape differs from its published version needs a new version. Words (titles,
descriptions, examples) may be mended. With each contract one message is kept as bytes ("golden bytes"), which must decode
for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from eventbus.contracts.contract import Contract, Retirement, contract_of, file_name, renewed
from eventbus.contracts.evolution import breaks
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.subset import differences
from eventbus.contracts.views import View
from eventbus.contracts.writing import write_whole
from eventbus.errors import ContractError, DecodeError
from eventbus.event import Event, event_info, event_topic
from eventbus.wire.codec import CODECS, decode
from eventbus.wire.envelope import Envelope

_ID = "018f0000-0000-7000-8000-000000000000"
_TIME = "2026-01-31T12:00:00.000000Z"
_SUFFIX = {"msgpack": ".msgpack", "json": ".json"}


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did or, in check mode, would do.

    Attributes:
        written: paths that are new or have other words.
        kept: paths that are as they were.
        refused: in words, what may not be published.
        warned: in words, why new versions do not fit those that are still supported.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    refused: tuple[str, ...]
    warned: tuple[str, ...] = ()


def publish(
    event_types: Iterable[tuple[type[Event], str]],
    folder: Path,
    *,
    golden: Path | None = None,
    is_check: bool = False,
) -> Published:
    """Write the contracts of event classes, each with its owner; in check mode nothing is written.

    Args:
        folder: the folder of contracts; made where it is missing.
        golden: the folder of golden bytes; None keeps none.

    Raises:
        ContractError: a class has no contract that could be made, or the folder holds what is none.
    """
    there = {contract.path: contract for contract in load_contracts(folder)} if folder.is_dir() else {}
    written: list[str] = []
    kept: list[str] = []
    refused: list[str] = []
    made: dict[str, Contract] = {}
    for event_type, owner in event_types:
        contract = contract_of(event_type, owner)
        published = there.get(contract.path)
        if contract.path in made:
            refused.append(_owned_twice(contract, made[contract.path].owner, owner))
            continue
        made[contract.path] = contract
        if published is not None and published.owner != owner:
            refused.append(_owned_twice(contract, published.owner, owner))
            continue
        if published is not None and published.retired is not None:
            refused.append(f"{contract.topic}: {contract.name} was retired on {published.retired.on}; make a new version")
            continue
        if published is not None and published.shape() != contract.shape():
            refused.append(_changed(published, contract))
            continue
        final = contract if published is None else renewed(published, contract)
        target = folder / contract.path
        text = final.to_json()
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            kept.append(contract.path)
        else:
            written.append(contract.path)
            if not is_check:
                write_whole(target, text)
        if golden is not None:
            written += _keep_bytes(final, golden, is_check=is_check)
    refused += _gone(made.values(), there.values())
    warned = [
        str(each)
        for path, contract in made.items()
        if path not in there
        for older in there.values()
        if (older.topic, older.type) == (contract.topic, contract.type)
        and older.retired is None
        and older.version < contract.version
        for each in breaks(older, contract)
    ]
    return Published(tuple(written), tuple(kept), tuple(refused), tuple(warned))


def _owned_twice(contract: Contract, first: str, second: str) -> str:
    return (
        f"{contract.topic}: {contract.name} has two owners, {first} and {second}: an event has one; let {second} publish an "
        f"event of its own, or declare a view without version=. Where it has moved, change the owner in {contract.path}"
    )


def _gone(made: Iterable[Contract], there: Iterable[Contract]) -> list[str]:
    """Return, in words, which events of the same owners are published and have no class any more."""
    here = list(made)
    owners, events = {each.owner for each in here}, {(each.topic, each.type) for each in here}
    topics = {each.type: each.topic for each in here}
    found = []
    for each in there:
        if each.owner in owners and each.retired is None and (each.topic, each.type) not in events:
            moved = f" on this topic (there is one on {topics[each.type]})" if each.type in topics else ""
            found.append(
                f"{each.topic}: {each.name} is published and its class is gone{moved}: its readers would wait for ever. "
                f"Bring it back, give all modules of {each.owner}, or retire it: eventbus contracts retire {each.topic} "
                f"{each.type} {each.version} --reason ..."
            )
    return found


def _changed(published: Contract, code: Contract) -> str:
    first = next(iter(breaks(published, code)), None)
    if first is not None:
        what = str(first.difference)
    else:
        found = [*differences(code.schema, published.schema), *differences(published.schema, code.schema)]
        what = str(found[0]) if found else "its shape is another"
    return (
        f"{code.topic}: {code.name} is published and its class has changed: {what}. What is published never changes: "
        f"give the class version={code.version + 1}, and keep v{code.version} in {published.place}"
    )


def retire(folder: Path, topic: str, type_name: str, version: int, reason: str) -> Contract:
    """Record that a version is neither sent nor waiting anywhere any more; nothing is compared with it from now on.

    Raises:
        ContractError: there is no such contract, or it is retired already, or no reason is given.
    """
    wanted = [c for c in load_contracts(folder) if (c.topic, c.type, c.version) == (topic, type_name, version)]
    if not wanted:
        raise ContractError(f"{folder}: there is no {topic}/{file_name(type_name)}.v{version}.json")
    if wanted[0].retired is not None:
        raise ContractError(f"{wanted[0].place}: is retired since {wanted[0].retired.on}")
    if not reason.strip():
        raise ContractError(f"{wanted[0].place}: give the reason for its retirement")
    contract = replace(wanted[0], retired=Retirement(date.today().isoformat(), reason.strip()))
    write_whole(folder / contract.path, contract.to_json())
    return contract


def unpublish(
    folder: Path, topic: str, type_name: str, version: int, main: Iterable[Contract], *, golden: Path | None = None
) -> list[str]:
    """Remove a version that `main` does not have, its kept bytes too; return the paths.

    Raises:
        ContractError: there is no such contract, or main has it: it may have been sent.
    """
    path = f"{topic}/{file_name(type_name)}.v{version}.json"
    if not (folder / path).is_file():
        raise ContractError(f"{folder}: there is no {path}")
    if any(each.path == path for each in main):
        raise ContractError(f"{path}: main has it, so it may have been sent; retire it instead")
    kept = [] if golden is None else [golden / (path.removesuffix(".json") + suffix) for suffix in _SUFFIX.values()]
    gone = [each for each in (folder / path, *kept) if each.is_file()]
    for each in gone:
        each.unlink()
    return [each.as_posix() for each in gone]


# -- golden bytes ---------------------------------------------------------------------------------------------------------


def _keep_bytes(contract: Contract, golden: Path, *, is_check: bool) -> list[str]:
    made: list[str] = []
    for codec, suffix in _SUFFIX.items():
        target = golden / (contract.path.removesuffix(".json") + suffix)
        if target.exists():
            continue
        made.append(target.as_posix())
        if not is_check:
            envelope = Envelope(_ID, contract.owner, contract.type, _TIME, contract.examples[0])
            envelope.version = contract.version
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(CODECS[codec]().encode(envelope))
    return made


def check_golden(
    golden: Path, contracts: Sequence[Contract], owners: Iterable[type[Event]], views: Iterable[View]
) -> list[str]:
    """Return, in words, which kept bytes today's code cannot read any more; empty when it reads all.

    Every supported contract must have its bytes; each must decode, and be readable for the owner's class and for every view.
    """
    found: list[str] = []
    readers: dict[tuple[str, str], list[tuple[str, type[Event]]]] = {}
    for event_type in owners:
        readers.setdefault(_key(event_type), []).append((f"the owner's {event_type.__name__}", event_type))
    for view in views:
        readers.setdefault(_key(view.event_type), []).append((view.name, view.event_type))
    for contract in contracts:
        if contract.retired is not None:
            continue
        for suffix in _SUFFIX.values():
            path = golden / (contract.path.removesuffix(".json") + suffix)
            if not path.is_file():
                found.append(f"{path}: golden bytes are missing; eventbus contracts publish makes them")
                continue
            try:
                envelope = decode(path.read_bytes())
            except DecodeError as error:
                found.append(f"{path}: does not decode any more: {error.reason}")
                continue
            for name, event_type in readers.get((contract.topic, contract.type), ()):
                try:
                    event_type.__pydantic_validator__.validate_python(envelope.data, extra="ignore")
                except ValueError as error:
                    found.append(f"{path}: {name} cannot read {contract.name} any more: {str(error).splitlines()[0]}")
    return found


def _key(event_type: type[Event]) -> tuple[str, str]:
    return event_topic(event_type), event_info(event_type).name
