"""Places the boxes of a picture in layers, with few crossings of lines and lines that run straight (after Sugiyama).

Each line that passes a layer has a waypoint there, which keeps its place among the boxes. The result is always the same for
the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf

SIDE = 24
"""Space left of everything, in pixels."""
BESIDE_BOX, BESIDE_LINE = 22, 16
WORTH = 60
"""Pixels of width that a crossing less is worth."""

Edge = tuple[str, str]
Crossing = list[str]
"""The nodes of an edge, a waypoint in each layer that it passes included."""


class Layout:
    """Where everything stands.

    Args:
        rows: names of the boxes from above to below; the last row is one box, the floor, as wide as the whole picture.
        edges: lines, each from an upper row to a lower one.
        width: returns the width of a box in pixels.

    Attributes:
        rows: names from left to right, those of waypoints included, without the floor.
        ways: the names that each line passes; a line to the floor ends in the row above it.
        x: the middle of each box and waypoint, in pixels.
    """

    def __init__(self, rows: Sequence[Sequence[str]], edges: set[Edge], width: Callable[[str], int]) -> None:
        self._widths = {name: width(name) for row in rows for name in row}
        depth = {name: number for number, row in enumerate(rows) for name in row}
        self.rows = [list(row) for row in rows]
        self.ways: dict[Edge, Crossing] = {}
        (floor,) = self.rows.pop()
        for above, below in sorted(edges):
            passed = [f"{above}>{below}@{number}" for number in range(depth[above] + 1, depth[below])]
            for number, name in enumerate(passed, depth[above] + 1):
                self.rows[number].append(name)
            self.ways[above, below] = [above, *passed, *([] if below == floor else [below])]
        self.steps = [step for way in self.ways.values() for step in pairwise(way)]
        self.near: dict[str, list[str]] = {name: [] for row in self.rows for name in row}
        for above, below in self.steps:
            self.near[above].append(below)
            self.near[below].append(above)
        self._order()
        self.x = self._place()

    def _order(self) -> None:
        """Order each row by where the lines of its neighbours end, from above and from below in turn, and keep the best."""
        first, best = [list(row) for row in self.rows], (inf, self.rows)
        for attempt in range(20):
            # each attempt begins elsewhere: the rows turned by another number of places
            self.rows = [row[attempt * 7 % len(row) :] + row[: attempt * 7 % len(row)] for row in first]
            for sweep in range(10):
                is_down = sweep % 2 == 0
                for number in range(len(self.rows)) if is_down else reversed(range(len(self.rows))):
                    self._sort(number, number - 1 if is_down else number + 1)
            cost = self._crossings() * WORTH + max(self._place().values())
            if cost < best[0]:
                best = (cost, [list(row) for row in self.rows])
        self.rows = best[1]

    def _sort(self, number: int, beside: int) -> None:
        row = self.rows[number]
        if 0 <= beside < len(self.rows):
            there = {name: (index + 0.5) / len(self.rows[beside]) for index, name in enumerate(self.rows[beside])}
            mine = {name: (index + 0.5) / len(row) for index, name in enumerate(row)}
            row.sort(key=lambda name: _mean([there[each] for each in self.near[name] if each in there] or [mine[name]]))
        before = self._crossings(number)
        for index in range(len(row) - 1):
            row[index], row[index + 1] = row[index + 1], row[index]
            after = self._crossings(number)
            if after < before:
                before = after
            else:
                row[index], row[index + 1] = row[index + 1], row[index]

    def _crossings(self, number: int | None = None) -> int:
        """Count crossings of lines, all or those that touch one row."""
        rows = (
            range(len(self.rows) - 1) if number is None else range(max(number - 1, 0), min(number + 1, len(self.rows) - 1))
        )
        total = 0
        for above in rows:
            place = {name: index for index, name in enumerate(self.rows[above + 1])}
            ends = [
                (index, place[each])
                for index, name in enumerate(self.rows[above])
                for each in self.near[name]
                if each in place
            ]
            total += sum(a < c and b > d for i, (c, d) in enumerate(ends) for a, b in ends[:i])
        return total

    def _place(self) -> dict[str, float]:
        x = {name: 0.0 for row in self.rows for name in row}
        for row in self.rows:
            self._spread(row, [0.0] * len(row), x)
        for sweep in range(40):
            for row in self.rows if sweep % 2 else reversed(self.rows):
                wanted = []
                for name in row:
                    # lines that pass a layer run straight where they can; boxes stand amid what they are joined to
                    pulls = [x[each] for each in self.near[name] for _ in range(1 + 3 * (">" in name and ">" in each))]
                    wanted.append(_mean(pulls) if pulls else x[name])
                self._spread(row, wanted, x)
        for way in self.ways.values():
            self._straighten([name for name in way if ">" in name], x)
        left = min(x[name] - self._width(name) / 2 for name in x)
        return {name: round(place - left + SIDE) for name, place in x.items()}

    def _straighten(self, line: Sequence[str], x: dict[str, float]) -> None:
        """Put as many waypoints after one another as there is room for on one vertical."""
        row_of = {name: row for row in self.rows for name in row}
        while line:
            low, high, count = -inf, inf, 0
            for name in line:
                row, index = row_of[name], row_of[name].index(name)
                left = x[row[index - 1]] + self._distance(row[index - 1], name) if index else -inf
                right = x[row[index + 1]] - self._distance(name, row[index + 1]) if index + 1 < len(row) else inf
                if max(low, left) > min(high, right):
                    break
                low, high, count = max(low, left), min(high, right), count + 1
            count = max(count, 1)
            place = min(max(_mean([x[name] for name in line[:count]]), low), high)
            x.update(dict.fromkeys(line[:count], place))
            line = line[count:]

    def _distance(self, left: str, right: str) -> float:
        """Return the distance between the middles of two neighbours of a row."""
        return (self._width(left) + self._width(right)) / 2 + (BESIDE_LINE if ">" in left and ">" in right else BESIDE_BOX)

    def _width(self, name: str) -> int:
        return self._widths.get(name, 0)  # a waypoint has none

    def _spread(self, row: Sequence[str], wanted: Sequence[float], x: dict[str, float]) -> None:
        """Set the places of a row as near to the wanted ones as order and distances allow (least squares, by pooling)."""
        offsets = [0.0]
        for left, right in pairwise(row):
            offsets.append(offsets[-1] + self._distance(left, right))
        pools: list[list[float]] = []
        for place, offset in zip(wanted, offsets, strict=True):
            pools.append([place - offset])
            while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
                last = pools.pop()
                pools[-1].extend(last)
        starts = [_mean(pool) for pool in pools for _ in pool]
        for name, start, offset in zip(row, starts, offsets, strict=True):
            x[name] = start + offset


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
