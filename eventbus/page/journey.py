"""Journey: a chain of events as a waterfall: who published what, who handled it when, and what it waits for.

Made of outcomes alone: each names its event, that event's cause and chain, so neither data nor the code of any service is
needed. Times are those of the services' own clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventbus.journal.logged import Logged
from eventbus.names import is_internal
from eventbus.outcomes import Record

_ENDED = frozenset({"handled", "parked", "dropped", "expired", "unhandled", "skipped"})
"""Outcomes after which a delivery does not come again by itself."""
_MOST_LANES = 200


@dataclass(slots=True)
class _Event:
    """An event of the chain, as its deliveries and rows tell of it."""

    id: str
    type: str = ""
    topic: str = ""
    source: str = ""
    cause: str | None = None
    subject: str | None = None
    published: float | None = None
    added: float | None = None
    left: float | None = None
    settled: float | None = None
    lanes: dict[tuple[str, str], list[Record]] = field(default_factory=dict)

    @property
    def began(self) -> float:
        """When it came into being, as far as anybody tells."""
        runs = [run.begin for lane in self.lanes.values() for run in lane]
        known = [each for each in (self.added, self.published, self.left, *runs) if each is not None]
        return min(known, default=0.0)


def journey_of(records: Iterable[Record], now: float, logged: Iterable[Logged] = ()) -> dict[str, Any] | None:
    """Return the journey of a chain as JSON types; None where nothing is told of it.

    Args:
        records: all of one chain, in any order.
        now: seconds since 1970.
        logged: its events, where a journal has them: also those of which nobody told anything.
    """
    events = _events(records)
    for each in logged:
        event = events.setdefault(each.id, _Event(each.id, cause=each.cause))
        event.type, event.topic, event.source = each.type, each.topic, each.source
        event.subject = event.subject or each.subject
        event.published = each.time if event.published is None else event.published
    if not events:
        return None
    order = sorted(events.values(), key=lambda event: (event.began, event.id))
    critical = _critical(events)
    lanes = [lane for event in order for lane in _lanes(event, critical)]
    begin = order[0].began
    ends = [run.end for event in order for lane in event.lanes.values() for run in lane]
    waiting = [lane for lane in lanes if lane["state"] == "waits"]
    end = max([*ends, begin, *([now] if waiting else [])])
    first = order[0]
    return {
        "correlation": next((each.correlation for each in _all(order) if each.correlation), first.id),
        "subject": next((each.subject for each in order if each.subject), None),
        "begin": begin,
        "end": end,
        "events": [_event_tree(each, critical) for each in order],
        "deliveries": sum(len(runs) for each in order for runs in each.lanes.values()),
        "lanes": lanes[:_MOST_LANES],
        "omitted": max(len(lanes) - _MOST_LANES, 0),
        "sentence": _sentence(lanes, now),
        "shares": _shares(lanes, end - begin),
    }


def _all(order: Iterable[_Event]) -> Iterable[Record]:
    return (run for event in order for lane in event.lanes.values() for run in lane)


def _events(records: Iterable[Record]) -> dict[str, _Event]:
    events: dict[str, _Event] = {}
    for each in sorted(records, key=lambda record: record.end):
        if not each.id or is_internal(each.topic):
            continue
        event = events.setdefault(each.id, _Event(each.id))
        event.type = event.type or each.type
        event.topic = event.topic or each.topic
        event.source = event.source or each.source or (each.service if each.is_of_row else "")
        event.cause = event.cause or each.cause
        event.subject = event.subject or each.subject
        event.published = event.published if event.published is not None else each.published
        if each.outcome == "added":
            event.added = each.end
        elif each.outcome == "published":
            event.left = each.end
        elif each.outcome == "settled":
            event.settled = each.end
        elif each.outcome != "skipped":  # of another channel's replay
            event.lanes.setdefault((each.topic, each.channel), []).append(each)
    return events


def _critical(events: dict[str, _Event]) -> frozenset[str]:
    """Return the ids of the events from the first one to the delivery that ended last: nothing else made it longer."""
    last: tuple[float, str] = (0.0, "")
    for event in events.values():
        for runs in event.lanes.values():
            last = max(last, (runs[-1].again or runs[-1].end, event.id))
    path: list[str] = []
    id: str | None = last[1]
    while id in events and id not in path:
        path.append(id)
        id = events[id].cause
    return frozenset(path)


def _lanes(event: _Event, critical: frozenset[str]) -> Iterable[dict[str, Any]]:
    if not event.lanes and event.added is None and event.left is None:
        yield _lane_of_silence(event, critical)
    if event.added is not None or event.left is not None:
        yield _lane_of_row(event, critical)
    for (topic, channel), runs in sorted(event.lanes.items(), key=lambda pair: pair[1][0].begin):
        yield _lane(event, topic, channel, runs, critical)


def _lane_of_row(event: _Event, critical: frozenset[str]) -> dict[str, Any]:
    begin = event.added if event.added is not None else event.left
    assert begin is not None
    spans = [] if event.left is None else [_span("outbox", begin, event.left)]
    if event.left is not None and event.settled is not None:
        spans.append(_span("receipts", event.left, event.settled))
    state = "settled" if event.settled is not None else "published" if event.left is not None else "waits"
    return {
        "id": event.id,
        "who": event.source,
        "what": "outbox",
        "type": event.type,
        "place": event.topic,
        "begin": begin,
        "spans": spans,
        "runs": 0,
        "state": state,
        "outcome": state,
        "critical": event.id in critical,
        "again": None,
        "error": None,
        "frame": None,
    }


def _lane_of_silence(event: _Event, critical: frozenset[str]) -> dict[str, Any]:
    """Of an event that is in the journal, and of which no service told anything."""
    return {
        "id": event.id,
        "who": event.source,
        "what": "event",
        "type": event.type,
        "place": event.topic,
        "begin": event.began,
        "spans": [],
        "runs": 0,
        "state": "silent",
        "outcome": "published; nobody told more",
        "critical": event.id in critical,
        "again": None,
        "error": None,
        "frame": None,
    }


def _lane(event: _Event, topic: str, channel: str, runs: Sequence[Record], critical: frozenset[str]) -> dict[str, Any]:
    begin = event.left if event.left is not None else event.published
    spans = []
    before: Record | None = None
    for run in runs:
        if before is None:
            if begin is not None and run.begin > begin:
                spans.append(_span("queue", begin, run.begin))
        elif before.outcome in _ENDED:
            spans.append(_span("parked" if before.outcome == "parked" else "idle", before.end, run.begin))
        else:
            spans.append(_span("retry", before.end, run.begin))
        spans.append({**_span("run", run.begin, run.end), "outcome": run.outcome, "who": run.instance, "error": run.error})
        before = run
    assert before is not None
    is_over = before.outcome in _ENDED
    failure = next((run for run in reversed(runs) if run.error), None)
    if not is_over and before.again is not None:
        spans.append(_span("next", before.end, before.again))
    return {
        "id": event.id,
        "who": before.instance or before.service,
        "what": "handler",
        "type": event.type,
        "place": f"{topic}/{channel}",
        "begin": begin if begin is not None else runs[0].begin,
        "spans": spans,
        "runs": max((run.attempt for run in runs), default=len(runs)),
        "state": "over" if is_over else "waits",
        "outcome": before.outcome,
        "critical": event.id in critical,
        "again": before.again,
        "error": failure and failure.error,
        "frame": failure and failure.place,
    }


def _span(kind: str, begin: float, end: float) -> dict[str, Any]:
    return {"kind": kind, "begin": begin, "end": max(begin, end)}


def _event_tree(event: _Event, critical: frozenset[str]) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "topic": event.topic,
        "source": event.source,
        "cause": event.cause,
        "subject": event.subject,
        "began": event.began,
        "critical": event.id in critical,
    }


def _sentence(lanes: Sequence[dict[str, Any]], now: float) -> str:
    """Return what the chain waits for now, or how it ended, in one sentence."""
    parked = [lane for lane in lanes if lane["outcome"] == "parked"]
    waiting = [lane for lane in lanes if lane["state"] == "waits"]
    if parked:
        lane = parked[-1]
        more = f", and {len(parked) - 1} more like it" if len(parked) > 1 else ""
        return f"{lane['type']} is a dead letter of {lane['place']} after {_runs(lane['runs'])}{_because(lane)}{more}."
    if waiting:
        lane = max(waiting, key=lambda each: each["again"] or 0.0)
        if lane["what"] == "outbox":
            return f"{lane['type']} lies in the outbox of {lane['who']} and was not published yet."
        again = lane["again"]
        when = "" if again is None else ", due now" if again <= now else f", next in {_seconds(again - now)}"
        return f"{lane['type']} waits for its run {lane['runs'] + 1} on {lane['place']}{when}{_because(lane)}."
    dropped = next((lane for lane in lanes if lane["outcome"] in ("dropped", "expired", "unhandled")), None)
    if dropped is not None:
        return f"{dropped['type']} was {dropped['outcome']} on {dropped['place']}{_because(dropped)}."
    if all(lane["state"] == "silent" for lane in lanes):
        return "It was published; no service told what became of it."
    return "All is handled; nothing waits."


def _because(lane: dict[str, Any]) -> str:
    if not lane["error"]:
        return ""
    return f": {lane['error']}" + (f" at {lane['frame']}" if lane["frame"] else "")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _seconds(span: float) -> str:
    return f"{span:.1f} s" if span < 100 else f"{span / 60:.0f} min"


def _shares(lanes: Sequence[dict[str, Any]], whole: float) -> dict[str, float]:
    """Return the share of the whole time in which anything of a kind went on, from 0 to 1."""
    shares: dict[str, float] = {}
    if whole <= 0:
        return shares
    for kind in ("run", "queue", "retry", "outbox", "parked"):
        wanted = ("retry", "next") if kind == "retry" else (kind,)
        spans = sorted((span["begin"], span["end"]) for lane in lanes for span in lane["spans"] if span["kind"] in wanted)
        total, reached = 0.0, float("-inf")
        for begin, end in spans:
            total += max(end - max(begin, reached), 0.0)
            reached = max(reached, end)
        shares[kind] = round(min(total / whole, 1.0), 4)
    return shares
