"""Asking: what would become of dead letters, if they were replayed now?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING

import gevent.event

from eventbus.dead_letters import DeadLetter
from eventbus.engines.base import Delivery
from eventbus.errors import DecodeError
from eventbus.names import EPHEMERAL
from eventbus.outcomes.listening import is_believed
from eventbus.rehearsal.messages import (
    ANSWERS,
    MOST_BYTES,
    MOST_LETTERS,
    QUESTIONS,
    Question,
    Verdict,
    read_verdicts,
    write_question,
)
from eventbus.runtime.guarded_log import guarded_log
from eventbus.wire.codec import Limits

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.rehearsal")

NOBODY = "no worker that can try it answers: none runs, or its handler does not say dry_run=True"


def rehearse(bus: Bus, letters: Sequence[DeadLetter], *, timeout: float = 30.0) -> Mapping[str, Verdict]:
    """Ask the workers of each channel; return a verdict for each letter, by the letter's id.

    The letters stay where they are. Those of which nobody says anything within `timeout` seconds since the last word have
    the verdict `cannot`.

    Raises:
        PublishError: the question could not be asked.
    """
    verdicts: dict[str, Verdict] = {}
    came = gevent.event.Event()
    mine = token_hex(8)

    def receive(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delivery.finish()
            try:
                if not is_believed(bus, ANSWERS, delivery.body):
                    raise DecodeError("not believed")
                question, given = read_verdicts(delivery.body, Limits(max_bytes=bus.engine.max_message_bytes))
            except DecodeError as error:
                log.debug("no verdicts: %s", error)
                continue
            if question.startswith(mine):
                verdicts.update({each.name: each for each in given})
                came.set()

    channel = f"asks-{token_hex(4)}{EPHEMERAL}"
    bus.engine.declare(ANSWERS, [channel])
    subscription = bus.engine.subscribe(ANSWERS, channel, receive, max_in_flight=20, message_timeout=60.0)
    try:
        whole = [each for each in letters if each.is_whole and each.id]
        for number, (topic, of, part) in enumerate(_parts(whole)):
            question = Question(f"{mine}-{number}", topic, of, {each.id: each.body for each in part})
            body = write_question(question, bus.source)
            bus.engine.publish(QUESTIONS, body, delay=0.0, timeout=bus.publish_timeout)
            while any(each.id not in verdicts for each in part):
                came.clear()
                if not came.wait(timeout):
                    break
    finally:
        subscription.close()
    for each in letters:
        reason = NOBODY if each.is_whole and each.id else "its bytes are no event, or not all of them were kept"
        verdicts.setdefault(each.id, Verdict(each.id, "cannot", reason))
    return verdicts


def _parts(letters: Sequence[DeadLetter]) -> Iterator[tuple[str, str, Sequence[DeadLetter]]]:
    """Yield letters of one channel that fit into one question."""
    part: list[DeadLetter] = []
    for each in sorted(letters, key=lambda letter: (letter.topic, letter.channel)):
        is_other = part and (each.topic, each.channel) != (part[0].topic, part[0].channel)
        if part and (
            is_other or len(part) == MOST_LETTERS or sum(len(one.body) for one in part) + len(each.body) > MOST_BYTES
        ):
            yield part[0].topic, part[0].channel, part
            part = []
        part.append(each)
    if part:
        yield part[0].topic, part[0].channel, part
