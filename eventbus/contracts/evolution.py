"""Evolution: whether a version of an event fits those beside it.

Two directions, named as schema registries do (Confluent's documentation, "Schema Evolution and Compatibility"):

- **forward**: who was written for the older version can read the newer one. A consumer may rely on every field that its
  version always sends, whether or not the owner gave it a default.
- **backward**: who is written for the newer version can read the older one, which lies in queues, outboxes and dead letters
  for as long as it is supported.

`full`, the default, asks both, since in a rolling deploy old and new stand on both sides. Each is decided by rule, and
tried: examples and edge values of the writer's version are held against the reader's schema, and a value that is refused is
shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from eventbus.contracts.conform import Conformance
from eventbus.contracts.contract import Contract
from eventbus.contracts.dialect import MADE, mapped
from eventbus.contracts.difference import Difference, Kind
from eventbus.contracts.subset import differences
from eventbus.contracts.values import trial_values

Mode = Literal["forward", "backward", "full", "none"]
MODES: tuple[Mode, ...] = ("forward", "backward", "full", "none")


@dataclass(frozen=True, slots=True)
class Break:
    """One reason why two versions do not fit.

    Attributes:
        writer: the version that is sent.
        reader: the version for which the reader was written.
    """

    writer: Contract
    reader: Contract
    difference: Difference
    counterexample: str | None = None
    """Data of the writer's version that the reader's refuses, as JSON; None where none was found."""

    def __str__(self) -> str:
        writer, reader = self.writer, self.reader
        age = "older" if writer.version < reader.version else "newer"
        return (
            f"{writer.topic}: {writer.type}: {_in_words(self)} (v{writer.version}, the {age}, as who reads "
            f"v{reader.version} sees it)" + (f"\n    for example {self.counterexample}" if self.counterexample else "")
        )


def _in_words(found: Break) -> str:
    path, kind = found.difference.path, found.difference.kind
    if kind is Kind.MISSING and found.writer.version > found.reader.version:
        return f"field `{path}` was removed, and readers of v{found.reader.version} may rely on it"
    if kind is Kind.MISSING:
        return (
            f"field `{path}` was added as required, and events of v{found.writer.version} do not have it; give it a default"
        )
    if kind is Kind.OPTIONAL and found.writer.version < found.reader.version:
        return f"field `{path}` became required, and events of v{found.writer.version} may lack it"
    return str(found.difference)


def breaks(older: Contract, newer: Contract, mode: Mode = "full") -> list[Break]:
    """Return why two versions of one event do not fit; empty when they do."""
    found: list[Break] = []
    if mode in ("forward", "full"):
        found += _breaks(newer, older, older.schema)
    if mode in ("backward", "full"):
        found += _breaks(older, newer, lenient(newer.schema))
    return found


def _breaks(writer: Contract, reader: Contract, schema: Mapping[str, Any]) -> list[Break]:
    by_rule = differences(writer.schema, schema)
    refused = refused_value(writer, schema)
    shown = None if refused is None else refused[0]
    if refused is not None and not by_rule:
        by_rule = [Difference("", Kind.VALUE, f"may have a value that is refused: {refused[1]}")]
    return [Break(writer, reader, each, shown) for each in by_rule]


def refused_value(writer: Contract, schema: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first value of the writer that a reader of `schema` refuses, as JSON, and why; None when it takes all."""
    conformance = Conformance(schema, is_reader=True)
    for value in trial_values(writer, 200)[0]:
        fault = next(conformance.faults(schema, value), None)
        if fault is not None:
            text = json.dumps(value, ensure_ascii=False)
            return (text if len(text) <= 400 else text[:400] + "..."), f"field `{fault[0] or 'data'}` {fault[1]}"[:200]
    return None


def check_evolution(contracts: Iterable[Contract], modes: Mapping[str, Mode] | None = None) -> list[Break]:
    """Return what breaks among all supported versions of each event; `modes` by topic, "full" for the others."""
    by_event: dict[tuple[str, str], list[Contract]] = {}
    for contract in contracts:
        if contract.retired is None:
            by_event.setdefault((contract.topic, contract.type), []).append(contract)
    return [
        each
        for (topic, _), versions in sorted(by_event.items())
        for older, newer in combinations(sorted(versions, key=lambda contract: contract.version), 2)
        for each in breaks(older, newer, (modes or {}).get(topic, "full"))
    ]


def lenient(schema: Any) -> Any:
    """Return the schema of a reader that fills in what has a default."""
    if not isinstance(schema, Mapping):
        return schema
    made = mapped(schema, lenient)
    fields = schema.get("properties")
    if isinstance(fields, Mapping) and "required" in schema:
        made["required"] = [
            name
            for name in schema["required"]
            if not (isinstance(fields.get(name), Mapping) and fields[name].keys() & {"default", MADE})
        ]
    return made
