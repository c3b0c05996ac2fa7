"""Messages between who asks and the workers: ordinary envelopes, which signing fits, with bounds on all that comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, Literal, get_args

from eventbus.errors import DecodeError
from eventbus.names import EPHEMERAL
from eventbus.wire.codec import CODECS, Limits, decode
from eventbus.wire.envelope import MAX_ID_LENGTH, MAX_NAME_LENGTH, Envelope
from eventbus.wire.identity import InstantWriter, new_id

QUESTIONS = f"eventbus.rehearsals{EPHEMERAL}"
ANSWERS = f"eventbus.verdicts{EPHEMERAL}"
"""The topics on which workers are asked, and on which they answer."""
_QUESTION, _ANSWER = "eventbus.Rehearse", "eventbus.Verdicts"
MOST_LETTERS = 100
MOST_BYTES = 512 * 1024
"""Most letters of a question, and most bytes of their events together; one event may have more."""
_MOST_TEXT = 300

Word = Literal["pass", "fail", "cannot"]
_WORDS: frozenset[str] = frozenset(get_args(Word))


@dataclass(frozen=True, slots=True)
class Question:
    """Would these be handled?

    Attributes:
        id: of the question.
        bodies: of events, by a name that their verdicts have.
    """

    id: str
    topic: str
    channel: str
    bodies: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a worker says of one event.

    Attributes:
        name: of the event in the question.
        word: `pass`, `fail`, or `cannot`: nobody can try it.
        reason: type of the error, or why it cannot be tried; without data of the event.
        place: innermost frame of the user's code, where an error was raised.
        published: types of the events that it would have published.
    """

    name: str
    word: Word
    reason: str = ""
    place: str | None = None
    published: tuple[str, ...] = ()


def write_question(question: Question, source: str) -> bytes:
    """Return the bytes of a question."""
    return _write(
        _QUESTION,
        source,
        {
            "question": question.id,
            "topic": question.topic,
            "channel": question.channel,
            "bodies": dict(question.bodies),
        },
    )


def read_question(body: bytes, limits: Limits) -> Question:
    """Return the question in `body`; raises DecodeError where there is none."""
    data = _read(body, _QUESTION, limits)
    bodies: Any = data.get("bodies")
    if type(bodies) is not dict or len(bodies) > MOST_LETTERS:
        raise DecodeError(f"question: bodies are no map of at most {MOST_LETTERS}")
    for name, each in bodies.items():
        if type(name) is not str or len(name) > MAX_ID_LENGTH or type(each) is not bytes:
            raise DecodeError("question: a body is no bytes with a name")
    return Question(
        _text(data, "question", MAX_ID_LENGTH),
        _text(data, "topic", MAX_NAME_LENGTH),
        _text(data, "channel", MAX_NAME_LENGTH),
        bodies,
    )


def write_verdicts(question: str, verdicts: Sequence[Verdict], source: str) -> bytes:
    """Return the bytes of an answer."""
    rows = [[each.name, each.word, each.reason[:_MOST_TEXT], each.place, list(each.published)] for each in verdicts]
    return _write(_ANSWER, source, {"question": question, "verdicts": rows})


def read_verdicts(body: bytes, limits: Limits) -> tuple[str, Sequence[Verdict]]:
    """Return the question's id and the verdicts in `body`; raises DecodeError where there are none."""
    data = _read(body, _ANSWER, limits)
    rows: Any = data.get("verdicts")
    if type(rows) is not list or len(rows) > MOST_LETTERS:
        raise DecodeError(f"answer: verdicts are no list of at most {MOST_LETTERS}")
    return _text(data, "question", MAX_ID_LENGTH), [_verdict(row) for row in rows]


def _verdict(row: Any) -> Verdict:
    if type(row) is not list or len(row) != 5:
        raise DecodeError("answer: a verdict is no list of 5")
    name, word, reason, place, published = row
    texts = (name, reason, *([] if place is None else [place]))
    if word not in _WORDS or not all(type(each) is str and len(each) <= _MOST_TEXT for each in texts):
        raise DecodeError("answer: a verdict has no word, or a text is none")
    if type(published) is not list or not all(type(each) is str and len(each) <= MAX_NAME_LENGTH for each in published):
        raise DecodeError("answer: what was published are no names")
    return Verdict(name, word, reason, place, tuple(published))


def _write(type_name: str, source: str, data: dict[str, Any]) -> bytes:
    now = time()
    return CODECS["msgpack"]().encode(Envelope(new_id(now), source, type_name, InstantWriter().write(now), data))


def _read(body: bytes, type_name: str, limits: Limits) -> dict[str, Any]:
    envelope = decode(body, limits)
    data: Any = envelope.data
    if envelope.type != type_name or type(data) is not dict:
        raise DecodeError(f"no event of type {type_name}")
    return data


def _text(data: dict[str, Any], name: str, most: int) -> str:
    value = data.get(name)
    if type(value) is not str or not 0 < len(value) <= most:
        raise DecodeError(f"{name} is no text of 1 to {most} characters")
    return value
