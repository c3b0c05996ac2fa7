"""Changes: what is different between two versions of an event, in words, and who must do something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventbus.contracts.contract import Contract
from eventbus.contracts.evolution import Break, breaks
from eventbus.contracts.paths import field_paths
from eventbus.contracts.views import Misfit, View, check_views
from eventbus.contracts.words import described
from eventbus.errors import ContractError
from eventbus.event import event_info, event_topic


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed.

    Attributes:
        added, removed: paths of fields.
        changed: path, what it was, what it is.
        breaks: why the versions do not fit one another.
        misfits: views that cannot read the newer version.
    """

    older: Contract
    newer: Contract
    added: Sequence[str]
    removed: Sequence[str]
    changed: Sequence[tuple[str, str, str]]
    breaks: Sequence[Break]
    misfits: Sequence[Misfit]

    def lines(self) -> list[str]:
        """Return it in words, a change on each line."""
        found = [f"{self.older.topic}: {self.older.name} -> {self.newer.name}"]
        found += [f"+ {path}: {_type(self.newer, path)}" for path in self.added]
        found += [f"- {path}: {_type(self.older, path)}" for path in self.removed]
        found += [f"~ {path}: {before} -> {after}" for path, before, after in self.changed]
        if len(found) == 1:
            found.append("no field changed")
        found += [str(each) for each in (*self.breaks, *self.misfits)]
        return found

    def to_markdown(self) -> str:
        """Return it for a pull request."""
        rows = [("added", path, "", _type(self.newer, path)) for path in self.added]
        rows += [("removed", path, _type(self.older, path), "") for path in self.removed]
        rows += [("changed", *each) for each in self.changed]
        found = [f"### {self.older.topic}: {self.older.name} to {self.newer.name}", ""]
        if rows:
            found += ["| change | field | before | after |", "|---|---|---|---|"]
            found += [f"| {kind} | {_code(path)} | {_cell(before)} | {_cell(after)} |" for kind, path, before, after in rows]
        else:
            found.append("No field changed.")
        todo = [*self.breaks, *self.misfits]
        found += [
            "",
            "**Who must do something**" if todo else "Nobody must do anything: old and new fit in both directions.",
            "",
        ]
        found += [f"- {_cell(str(each).splitlines()[0])}" for each in todo]
        return "\n".join(found).rstrip() + "\n"


def changes(older: Contract, newer: Contract, views: Iterable[View] = ()) -> Changes:
    """Return what changed from one version to the other, and which of the views cannot read the newer.

    Raises:
        ContractError: they are no versions of one event.
    """
    if (older.topic, older.type) != (newer.topic, newer.type):
        raise ContractError(f"{older.path} and {newer.path} are two events; give two versions of one")
    before, after = _fields(older), _fields(newer)
    mine = [
        each
        for each in views
        if (event_topic(each.event_type), event_info(each.event_type).name) == (newer.topic, newer.type)
    ]
    return Changes(
        older,
        newer,
        added=[path for path in after if path not in before],
        removed=[path for path in before if path not in after],
        changed=[(path, before[path], after[path]) for path in after if path in before and before[path] != after[path]],
        breaks=breaks(older, newer),
        misfits=check_views(mine, [newer]),
    )


def _fields(contract: Contract) -> Mapping[str, str]:
    return {path: _type(contract, path) for path in field_paths(contract.schema)}


def _type(contract: Contract, path: str) -> str:
    return str(described(contract.schema, path)["type"])


def _cell(text: str) -> str:
    escaped = "".join(f"\\{each}" if each in "\\`*_<>|[]" else each for each in text)
    return escaped.replace("\n", " ")


def _code(text: Any) -> str:
    return f"`{str(text).replace('|', chr(92) + '|').replace('`', chr(39))}`"
