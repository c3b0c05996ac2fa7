"""Picture: who talks to whom, as boxes in three columns (owners, topics, subscribers) and the lines between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from eventbus.contracts.views import View

_CHARACTER = 7.9
"""Width in pixels of a character of the picture's font, which is monospaced at 13 pixels."""
_ROW = 34
_BOX = 26
_GAP = 90
_LONGEST = 40
"""Characters of a name that are shown; all of it stands in the box's title."""
_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Box:
    """One name: `mark` tells it from others in the page's styles, and stands at the lines that end at it."""

    x: int
    y: int
    width: int
    name: str
    text: str
    mark: str
    link: str


@dataclass(frozen=True, slots=True)
class Line:
    """From the right side of one box to the left side of another."""

    start: tuple[int, int]
    end: tuple[int, int]
    marks: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, in pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def subscriber(view: View) -> str:
    """Return the name of who reads: the service, and its channel where that has another name."""
    return view.service if view.channel == view.service else f"{view.service}: {view.channel}"


def draw(
    sending: Iterable[tuple[str, str]], reading: Iterable[tuple[str, str]], links: Mapping[str, str], page: str = ""
) -> Picture:
    """Return the picture.

    Args:
        sending: owner and topic.
        reading: topic and subscriber.
        links: where the box of a topic leads.
        page: the page that has the names' anchors.
    """
    sent, read = sorted(set(sending)), sorted(set(reading))
    columns = [sorted({one for one, _ in sent}), sorted({topic for _, topic in sent}), sorted({one for _, one in read})]
    _sort(columns, sent, read)
    widths = [round(min(max(map(len, names), default=1), _LONGEST) * _CHARACTER) + 24 for names in columns]
    height = max(map(len, columns), default=0) * _ROW + 20
    boxes: dict[tuple[int, str], Box] = {}
    left = 10
    for number, names in enumerate(columns):
        step = height / (len(names) + 1)
        for row, name in enumerate(names, 1):
            text = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"
            link = links.get(name, "") if number == 1 else f"{page}#{('owner-', '', 'reader-')[number]}{quote(name)}"
            mark = f"n{number}-{row}"
            boxes[number, name] = Box(left, round(row * step) - _BOX // 2, widths[number], name, text, mark, link)
        left += widths[number] + _GAP
    lines = [_line(boxes[0, one], boxes[1, topic]) for one, topic in sent]
    lines += [_line(boxes[1, topic], boxes[2, one]) for topic, one in read]
    return Picture(left - _GAP + 10, height, tuple(boxes.values()), tuple(lines))


def _line(one: Box, other: Box) -> Line:
    middle = _BOX // 2
    return Line((one.x + one.width, one.y + middle), (other.x, other.y + middle), f"{one.mark} {other.mark}")


def _sort(columns: list[list[str]], sent: list[tuple[str, str]], read: list[tuple[str, str]]) -> None:
    """Order each column by where the neighbours of its names lie on average, so that few lines cross (Sugiyama)."""

    def by_neighbours(names: list[str], others: list[str], pairs: Iterable[tuple[str, str]]) -> None:
        places = {name: place / max(len(others), 1) for place, name in enumerate(others)}
        near: dict[str, list[float]] = {}
        for name, other in pairs:
            near.setdefault(name, []).append(places[other])
        own = {name: place / max(len(names), 1) for place, name in enumerate(names)}
        names.sort(key=lambda name: (sum(near[name]) / len(near[name]) if name in near else own[name], name))

    for _ in range(_ROUNDS):
        by_neighbours(columns[1], columns[0], [(topic, one) for one, topic in sent])
        by_neighbours(columns[2], columns[1], [(one, topic) for topic, one in read])
        by_neighbours(columns[1], columns[2], read)
        by_neighbours(columns[0], columns[1], sent)
    by_neighbours(columns[1], columns[0], [(topic, one) for one, topic in sent])
    by_neighbours(columns[2], columns[1], [(one, topic) for topic, one in read])
