"""Chains: what the page knows of a chain of events, from what services told it and from a journal, where there is one."""

from __future__ import annotations

import time
from typing import Any

from eventbus.page.journey import journey_of
from eventbus.page.recent import Recent
from eventbus.page.sources import Reading

_MOST_FOUND = 20
_LONG = 128
"""More characters than any id has."""


class Chains:
    """Answers what viewers ask of journeys."""

    def __init__(self, recent: Recent, journal: Reading | None) -> None:
        self._recent = recent
        self._journal = journal

    def journey(self, key: str) -> dict[str, Any]:
        """Return a journey as JSON types, or `{"problem": text}`.

        Raises:
            EventBusError: the journal cannot be read.
        """
        told = self._recent.chain(key)
        kept = None if self._journal is None else self._journal.chain(key)
        if kept is None and self._journal is not None and told and told[0].correlation:
            kept = self._journal.chain(told[0].correlation)
        if kept is None:
            found = journey_of(told, time.time())
        else:
            told = told or self._recent.chain(kept.correlation)
            found = journey_of(dict.fromkeys((*kept.records, *told)), time.time(), kept.events)
        return found or {"problem": self._unknown(key)}

    def find(self, text: str) -> dict[str, Any]:
        """Return the newest chains that a text fits, as JSON types.

        Raises:
            EventBusError: the journal cannot be read.
        """
        found = {each["key"]: each for each in map(_summary, self._recent.find(text, _MOST_FOUND))}
        if self._journal is not None and len(found) < _MOST_FOUND:
            for each in self._journal.find(text[:_LONG], limit=5 * _MOST_FOUND):
                key = each.correlation or each.id
                if len(found) < _MOST_FOUND and key not in found:
                    found[key] = {
                        "key": key,
                        "type": each.type,
                        "subject": each.subject,
                        "source": each.source,
                        "at": each.time,
                        "failures": 0,
                        "last": "in the journal",
                        "error": None,
                    }
        return {"found": list(found.values())}

    def _unknown(self, key: str) -> str:
        if self._journal is not None:
            return f"neither the journal nor any service knows {key!r}; at least 4 characters of an id are needed"
        return (
            f"nothing was told of {key!r} since this page began. Services tell while a page is open, and what was before "
            "knows a journal alone: eventbus journal, and this page with --database. An id needs 4 characters at least"
        )


def _summary(records: Any) -> dict[str, Any]:
    first = min(records, key=lambda each: each.begin)
    last = max(records, key=lambda each: each.end)
    return {
        "key": first.correlation or first.id,
        "type": first.type,
        "subject": next((each.subject for each in records if each.subject), None),
        "source": first.source,
        "at": last.end,
        "failures": sum(each.is_failure for each in records),
        "last": last.outcome,
        "error": last.error,
    }
