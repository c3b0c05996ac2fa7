"""Acting: what the page may change, where it is allowed to: dead letters tried and replayed by their cause, flow paused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gevent

from eventbus.bus import Bus
from eventbus.dead_letters.groups import key_of
from eventbus.dead_letters.letter import DeadLetter
from eventbus.dead_letters.mending import DeadLetters, Where
from eventbus.dead_letters.sight import USUAL
from eventbus.errors import ConfigurationError, EventBusError
from eventbus.rehearsal.asking import rehearse
from eventbus.rehearsal.ramp import note, ramp
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line

log = guarded_log("eventbus.page")

_MOST_LETTERS = 10_000
_KEPT = 50
_PATIENCE = 30.0


class Acting:
    """Acts for viewers, one replay of a group at a time."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._ramps: dict[str, dict[str, Any]] = {}
        self._greenlets: list[Any] = []

    def close(self) -> None:
        """End the replays; what was sent is sent."""
        gevent.killall(self._greenlets, block=False)

    def rehearse(self, topic: str, channel: str, key: str) -> dict[str, Any]:
        """Return what would become of the letters of a group, as JSON types.

        Raises:
            EventBusError: it cannot be asked.
        """
        letters = self._letters(topic, channel).list(limit=_MOST_LETTERS, where=_of(key))
        verdicts = rehearse(self._bus, letters, timeout=_PATIENCE / 2).values()
        told = Counter((each.word, each.reason, each.place) for each in verdicts)
        return {
            "tried": len(verdicts),
            "verdicts": [
                {"count": count, "word": word, "reason": one_line(reason, most=300), "place": place}
                for (word, reason, place), count in told.most_common()
            ],
        }

    def replay(self, topic: str, channel: str, key: str, *, by: str) -> dict[str, Any]:
        """Begin to replay a group in growing steps; see `ramps`.

        Raises:
            EventBusError: it cannot begin.
        """
        there = self._ramps.get(key)
        if there is not None and not there["over"]:
            raise ConfigurationError("this group is being replayed already")
        letters = self._letters(topic, channel)
        state: dict[str, Any] = {"steps": [], "over": False, "problem": ""}
        self._ramps.pop(key, None)
        self._ramps[key] = state
        while len(self._ramps) > _KEPT:
            self._ramps.pop(next(iter(self._ramps)))
        self._greenlets = [each for each in self._greenlets if not each.dead]
        self._greenlets.append(gevent.spawn(self._climb, letters, key, state, by))
        return state

    def ramps(self) -> dict[str, Any]:
        """Return the replays of this page by the keys of their groups, as JSON types."""
        return self._ramps

    def flow(self, topic: str, channel: str, *, is_paused: bool, by: str) -> None:
        """Pause or resume the deliveries of a channel.

        Raises:
            EventBusError: there is none, or the broker does not do it.
        """
        letters = self._letters(topic, channel)
        (self._bus.engine.pause if is_paused else self._bus.engine.resume)(topic, channel)
        note(self._bus, by, "pause" if is_paused else "resume", letters, {})

    def _letters(self, topic: str, channel: str) -> DeadLetters:
        stats = self._bus.engine.stats()
        letters = self._bus.dead_letters(topic, channel)
        if letters.dead_topic not in stats and (topic not in stats or channel not in stats[topic].channels):
            raise ConfigurationError(f"there is no channel {channel!r} on topic {topic!r}")
        return letters

    def _climb(self, letters: DeadLetters, key: str, state: dict[str, Any], by: str) -> None:
        try:
            for step in ramp(self._bus, letters, _of(key), by=by, patience=_PATIENCE):
                state["steps"].append({"replayed": step.replayed, "handled": step.handled, "left": step.left})
                if step.failed is not None:
                    state["problem"] = f"stopped: one failed again: {step.failed}"
                elif step.silent:
                    state["problem"] = f"stopped: nobody told what became of {step.silent}"
        except EventBusError as error:
            state["problem"] = one_line(str(error), most=300)
        except Exception as error:
            log.exception("a replay from the page failed")
            state["problem"] = f"failed: {type(error).__name__}, see the log of the page"
        finally:
            state["over"] = True


def _of(key: str) -> Where:
    def fits(letter: DeadLetter) -> bool:
        return key_of(letter, USUAL.texts) == key

    return fits
