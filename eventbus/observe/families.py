"""Families: metrics of a service's own, told on the page of the bus: `service.attach(part)` with a `metric_families()`.

They are asked for in the hub of the bus, now and then, since they may wait for a database; the page itself, which another
thread serves, shows what was said last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from prometheus_client.metrics_core import Metric

from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line

log = guarded_log("eventbus.observe")

_OURS = "eventbus_"
_MOST_SAMPLES = 10_000
"""Of one source: labels that grow with the data would make a page that nobody can read."""


@runtime_checkable
class HasFamilies(Protocol):
    """An attachment that has metrics of its own."""

    def metric_families(self) -> Iterable[Metric]:
        """Return them as they are now, as `CollectorRegistry.collect()` of prometheus-client does. May wait."""
        ...


class OwnFamilies:
    """What the attachments of buses said last."""

    def __init__(self) -> None:
        self._said: dict[int, list[Metric]] = {}
        self._told: set[int] = set()

    def refresh(self, parts: Iterable[Any]) -> None:
        """Ask each part that has metrics. One that fails keeps its last ones, and is told of once until it answers."""
        for part in parts:
            if not isinstance(part, HasFamilies):
                continue
            try:
                self._said[id(part)] = _checked(part.metric_families())
                self._told.discard(id(part))
            except Exception as error:
                if id(part) not in self._told:
                    self._told.add(id(part))
                    log.warning("the metrics of %s could not be had: %s", type(part).__name__, one_line(error))

    def __iter__(self) -> Iterator[Metric]:
        """Yield one family for each name: two services of one process may have the same."""
        joined: dict[str, Metric] = {}
        for family in (each for said in list(self._said.values()) for each in said):
            whole = joined.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples.extend(family.samples)
        yield from joined.values()


def _checked(families: Iterable[Metric]) -> list[Metric]:
    found = list(families)
    for each in found:
        if each.name.startswith(_OURS):
            raise ValueError(f"{each.name}: names that begin with {_OURS} are the library's")
    samples = sum(len(each.samples) for each in found)
    if samples > _MOST_SAMPLES:
        raise ValueError(f"{samples} samples, and {_MOST_SAMPLES} are told at most; use labels with few values")
    return found
