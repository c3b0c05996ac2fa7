"""Answers: what the page's panels ask now and then, made once for all viewers and kept for some seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gevent.lock import RLock

from eventbus.contracts import Contract, View, impact, load_contracts, views_of
from eventbus.dead_letters.groups import Group, Texts, grouped
from eventbus.dead_letters.sight import USUAL
from eventbus.doctor import examine
from eventbus.errors import ContractError, EventBusError
from eventbus.event import event_info, event_topic
from eventbus.names import is_dead_letter_topic
from eventbus.page.flow import dead_of
from eventbus.page.sources import Sources
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line

log = guarded_log("eventbus.page")

_MOST_LETTERS = 10_000
_WATCHED = 1.0
_MOST_STRANGE = 20
_FRESH = {"dead": 3.0, "contracts": 10.0, "health": 10.0}
"""Seconds for which each answer is kept."""


class Answers:
    """Answers by name: `dead`, `contracts`, `health`.

    Args:
        texts: gives what may be shown of a dead letter's reason and of its error.
        versions: how many deliveries were told of, by topic, type and version of the event.
    """

    def __init__(self, sources: Sources, texts: Texts, versions: Mapping[tuple[str, str, int], int] | None = None) -> None:
        self._sources = sources
        self._texts = texts
        self._versions = versions if versions is not None else {}
        self._makers: dict[str, Callable[[], Any]] = {
            "dead": self._dead,
            "contracts": self._contracts,
            "health": self._health,
        }
        self._kept: dict[str, tuple[float, Any]] = {}
        self._locks = {name: RLock() for name in self._makers}
        self._counted: dict[str, int] = {}
        self._groups: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return an answer as JSON types, `{"problem": text}` where there is none; KeyError for an unknown name."""
        with self._locks[name]:  # viewers who ask at the same time share one answer
            until, answer = self._kept.get(name, (0.0, None))
            if time.monotonic() < until:
                return answer
            try:
                answer = self._makers[name]()
            except EventBusError as error:
                answer = {"problem": one_line(str(error), most=500)}
            except Exception as error:
                log.exception("the page has no answer to %s", name)
                answer = {"problem": f"no answer: {type(error).__name__}, see the log of the page"}
            self._kept[name] = time.monotonic() + _FRESH[name], answer
            return answer

    def forget(self, name: str) -> None:
        """Make an answer anew the next time."""
        self._kept.pop(name, None)
        self._counted = {}

    def _dead(self) -> dict[str, Any]:
        bus = self._sources.bus
        stats = bus.engine.stats()
        counted = {name: count for name in sorted(stats) if is_dead_letter_topic(name) and (count := dead_of(stats, name))}
        if counted == self._counted and self._groups:
            return self._groups  # to look at letters is to hold them for a moment: not without need
        found: list[Group] = []
        for name in counted:
            topic, _, channel = name.removesuffix(".dead").rpartition(".")
            if topic:
                found.extend(grouped(bus.dead_letters(topic, channel).list(limit=_MOST_LETTERS), USUAL.texts, self._texts))
        found.sort(key=lambda group: (-group.count, group.key))
        total = sum(group.count for group in found)
        self._counted = counted
        self._groups = {
            "total": total,
            "groups": [
                {
                    "key": each.key,
                    "topic": each.topic,
                    "channel": each.channel,
                    "kind": each.kind,
                    "place": each.place,
                    "cause": each.cause,
                    "count": each.count,
                    "share": round(each.count / total, 4),
                    "rate": round(each.rate, 2),
                    "first": each.first.timestamp(),
                    "last": each.last.timestamp(),
                    "ids": each.ids,
                }
                for each in found
            ],
        }
        return self._groups

    def _contracts(self) -> dict[str, Any]:
        contracts = [each for each in load_contracts(self._sources.contracts) if each.retired is None]
        try:
            views = views_of(self._sources.services) if self._sources.services else []
        except ContractError as error:
            return {"problem": one_line(str(error), most=500)}
        rows: list[dict[str, Any]] = []
        for contract in sorted(contracts, key=lambda each: (each.topic, each.type, each.version)):
            readers = {view.name for view in views if _reads(view, contract)}
            fields = {
                name: impact(f"{contract.topic}.{name}", views, [contract])[0]
                for name in contract.schema.get("properties", {})
            }
            rows.append(
                {
                    "topic": contract.topic,
                    "type": contract.type,
                    "version": contract.version,
                    "owner": contract.owner,
                    "deprecated": contract.is_deprecated,
                    "readers": sorted(readers),
                    "fields": [{"name": name, "readers": names} for name, names in fields.items()],
                }
            )
        for row in rows:
            told = self._told(row["topic"], row["type"])
            row["share"] = round(told.get(row["version"], 0) / sum(told.values()), 4) if told else None
        known = {(each.topic, each.type, each.version) for each in contracts}
        strange = sorted(f"{topic} {name} v{version}" for topic, name, version in set(self._versions) - known if name)
        return {"strange": strange[:_MOST_STRANGE], "contracts": rows, "services": len(self._sources.services)}

    def _told(self, topic: str, type_name: str) -> dict[int, int]:
        """Return how many deliveries were told of, by version."""
        return {each[2]: count for each, count in self._versions.items() if each[:2] == (topic, type_name)}

    def _health(self) -> dict[str, Any]:
        sources = self._sources
        found = examine(
            sources.bus, sources.services, contracts=sources.contracts, watch=_WATCHED, outboxes=sources.outboxes
        )
        return {
            "findings": [
                {"level": each.level.value, "check": each.check, "text": one_line(each.text), "mend": each.mend}
                for each in found
            ]
        }


def _reads(view: View, contract: Contract) -> bool:
    return event_topic(view.event_type) == contract.topic and event_info(view.event_type).name == contract.type
