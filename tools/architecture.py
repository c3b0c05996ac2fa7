"""Draws docs/architecture.svg: the parts of the library, and who imports whom. `python tools/architecture.py [--check]`.

The layers are those of pyproject.toml, the imports those of the code, type checking included. An arrow that follows from
others is left out: who imports `bus` reaches what `bus` imports without a line of its own. So the picture changes when a
part comes or goes or leans on another one anew, and not with each import.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp
from layered_layout import SIDE, Edge, Layout

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "architecture.svg"

CAPTIONS = {
    "attachments": "start and stop with a bus",
    "backoff": "when a channel pauses",
    "publisher": "publish from threads and asyncio",
    "bus": "publish; start, drain, stop",
    "cli": "a module for each command",
    "context": "what a handler may know",
    "contracts": "promises, views, the fit",
    "dead_letters": "parked, shown, sent again",
    "delivery": "a delivery to its answer",
    "django": "outbox of Django's databases",
    "doctor": "what is wrong, and the cure",
    "engines": "carry bytes: memory, nsq",
    "errors": "one hierarchy for all",
    "event": "what is published",
    "handlers": "a function to its binding",
    "journal": "what happened, to search",
    "middleware": "hooks on both ways",
    "names": "topics, channels",
    "observe": "metrics, traces, logs",
    "outcomes": "what became of deliveries",
    "page": "the flow in a browser",
    "publishing": "an event to confirmed bytes",
    "rehearsal": "would a dead letter pass",
    "retry": "how often, how long",
    "runtime": "clock, chance, redaction",
    "service": "a named set of handlers",
    "serving": "a small HTTP server",
    "settings": "from the environment",
    "signing": "whose word a message is",
    "sql": "outbox, inbox, receipts",
    "testing": "the kit for your tests",
    "version": "the version",
    "wire": "bytes to an envelope, back",
}
"""What each part is, in at most 28 letters."""

HEIGHT, GAP = 44, 31
"""Height of a box and of the space below it, in pixels."""
_HEAD = 7
"""Length of an arrow's head."""

STYLE = """
  :root { color-scheme: light dark }
  .page { fill: #ffffff; stroke: #d8dee6 }
  .wing { fill: #e3edfb; stroke: #5b86c4 }
  .file { fill: #ffffff; stroke: #8a95a3 }
  text { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1c2733; text-anchor: middle }
  .name { font-size: 14px; font-weight: 600 }
  .says { font-size: 11px; fill: #51606f }
  .start { text-anchor: start }
  .line { fill: none; stroke: #8593a3; stroke-width: 1.3 }
  .head { fill: #8593a3 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #12171e; stroke: #2c3642 }
    .wing { fill: #1d3150; stroke: #6b97d8 }
    .file { fill: #1a212b; stroke: #77838f }
    text { fill: #e8edf3 }
    .says { fill: #a5b1be }
    .line { stroke: #7b8896 }
    .head { fill: #7b8896 }
  }
"""


def layers() -> list[list[str]]:
    """Return the parts of the library from above to below, as the contract on layers says."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = [each["layers"] for each in contracts if each["name"] == "layers of the library"]
    return [[name.strip().removeprefix("eventbus.") for name in layer.split("|")] for layer in found]


def imports(parts: set[str]) -> set[Edge]:
    """Return which part imports which, without what follows from others.

    Raises:
        SystemExit: the code has a part that no layer names, or the other way round.
    """
    graph = grimp.build_graph("eventbus", cache_dir=None)
    there = {module.split(".")[1] for module in graph.modules if "." in module}
    if there != parts:
        sys.exit(f"not in both the code and the layers of pyproject.toml: {', '.join(sorted(there ^ parts))}")
    if parts != set(CAPTIONS):
        sys.exit(f"give each part one caption in tools/architecture.py: {', '.join(sorted(parts ^ set(CAPTIONS)))}")
    edges: set[Edge] = set()
    for module in graph.modules - {"eventbus"}:
        for imported in graph.find_modules_directly_imported_by(module) - {"eventbus"}:
            edges.add((module.split(".")[1], imported.split(".")[1]))
    edges = {(above, below) for above, below in edges if above != below}
    return {edge for edge in edges if not _reaches(edges - {edge}, *edge)}


def _reaches(edges: set[Edge], start: str, end: str) -> bool:
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        todo.extend({below for above, below in edges if above == here} - seen)
        seen.update(todo)
    return end in seen


def width(name: str) -> int:
    """Return the width of a box, or of nothing for a waypoint; wide enough for text in a wide font."""
    return 0 if ">" in name else max(len(title(name)) * 10, round(len(CAPTIONS[name]) * 6.4)) + 22


def title(name: str) -> str:
    """Return what the box says: a folder or a file of the library."""
    return f"{name}/" if (ROOT / "eventbus" / name).is_dir() else f"{name}.py"


def _line(layout: Layout, edge: Edge, ports: Mapping[tuple[Edge, str], float], top: Mapping[str, int]) -> str:
    way = layout.ways[edge]
    xs = [layout.x[name] + ports.get((edge, name), 0.0) for name in way]
    path, bend = f"M{xs[0]:.0f} {top[way[0]] + HEIGHT}", GAP * 0.55
    for (before, name), (x0, x1) in zip(pairwise(way), pairwise(xs), strict=True):
        is_end = name == edge[1]
        start, end = top[before] + HEIGHT, top[name] - (_HEAD if is_end else 0)
        path += f"C{x0:.0f} {start + bend:.0f} {x1:.0f} {end - bend:.0f} {x1:.0f} {end}"
        if not is_end:
            path += f"V{top[name] + HEIGHT}"
    if edge[1] not in way:  # straight down to the floor
        path += f"V{top[edge[1]] - _HEAD}"
    return f'<path class="line" marker-end="url(#head)" d="{path}"/>'


def draw() -> str:
    """Return the picture as the text of an SVG."""
    rows = layers()
    layout = Layout(rows, imports({name for row in rows for name in row}), width)
    (floor,) = rows[-1]
    top = {name: SIDE + 44 + number * (HEIGHT + GAP) for number, row in enumerate(layout.rows) for name in row}
    top[floor] = SIDE + 44 + len(layout.rows) * (HEIGHT + GAP)
    wide = round(max(place + width(name) / 2 for name, place in layout.x.items())) + SIDE
    high = max(top.values()) + HEIGHT + SIDE
    ports: dict[tuple[Edge, str], float] = {}
    for box in CAPTIONS:
        for here, beside in ((0, 1), (-1, -2)):  # where lines leave a box, and where they come in
            ends = [
                (layout.x[way[beside % len(way)]], edge)
                for edge, way in layout.ways.items()
                if edge[here] == box and way[here] == box
            ]
            step = min(18.0, (width(box) - 30) / max(len(ends), 1))
            for index, (_, edge) in enumerate(sorted(ends)):
                ports[edge, box] = (index - (len(ends) - 1) / 2) * step
    legend = f'<text class="says start" y="{SIDE + 5}" x='
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" role="img">',
        "<title>The parts of eventbus in their layers, and who imports whom</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect class="page" x="0.5" y="0.5" width="{wide - 1}" height="{high - 1}" rx="10"/>',
        f'<rect class="wing" x="{SIDE}" y="{SIDE - 6}" width="20" height="14" rx="4"/>',
        f'{legend}"{SIDE + 27}">a folder</text>',
        f'<rect class="file" x="{SIDE + 90}" y="{SIDE - 6}" width="20" height="14" rx="4"/>',
        f'{legend}"{SIDE + 117}">a file beside them</text>',
        f'{legend}"{SIDE + 240}">An arrow: imports. What follows from other arrows has none.</text>',
    ]
    out += [_line(layout, edge, ports, top) for edge in layout.ways]
    for name in [name for row in rows for name in row]:
        x, broad = (wide / 2, wide - 2 * SIDE) if name == floor else (layout.x[name], width(name))
        y, shape = top[name], "wing" if title(name).endswith("/") else "file"
        box = f'x="{x - broad / 2:g}" y="{y}" width="{broad}" height="{HEIGHT}" rx="8"'
        out.append(f'<rect class="{shape}" {box}/>')
        out.append(f'<text class="name" x="{x:g}" y="{y + 20}">{escape(title(name))}</text>')
        out.append(f'<text class="says" x="{x:g}" y="{y + 36}">{escape(CAPTIONS[name])}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def main() -> None:
    made = draw()
    if "--check" not in sys.argv:
        TARGET.write_text(made)
    elif not TARGET.exists() or TARGET.read_text() != made:
        sys.exit("docs/architecture.svg is not as the imports are; mend it with: make architecture")


if __name__ == "__main__":
    main()
