"""Letters: dead letters as people and machines read them, whatever they hold."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eventbus.cli.session import out
from eventbus.dead_letters import DeadLetter
from eventbus.dead_letters.sight import USUAL, Sight
from eventbus.errors import DecodeError
from eventbus.runtime.redaction import lines, one_line

_MOST_BYTES = 4096


def _age(letter: DeadLetter) -> str:
    seconds = max((datetime.now(UTC) - letter.last).total_seconds(), 0.0)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def table(found: list[DeadLetter], sight: Sight = USUAL) -> Table:
    """Return dead letters as people read them."""
    rows = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "type", "age", "attempts"):
        rows.add_column(heading, no_wrap=True, justify="right" if heading in ("age", "attempts") else "left")
    rows.add_column("reason: error", overflow="fold", min_width=20)
    for each in found:
        reason, error = sight.texts(each)
        rows.add_row(
            Text(one_line(each.id), "cyan"),
            Text(one_line(each.event_type or "?")),
            _age(each),
            Text(one_line(each.attempts)),
            Text(one_line(reason), "red").append(f": {one_line(error)}" if error else "", "default"),
        )
    return rows


def show(letter: DeadLetter, sight: Sight = USUAL) -> None:
    """Print one whole, and its event as it was sent."""
    reason, error = sight.texts(letter)
    for name, value in (
        ("id", letter.id),
        ("type", letter.event_type or "unknown"),
        ("from", f"{letter.topic} on channel {letter.channel}"),
        *([("proof", letter.proof)] if letter.proof else []),
        ("reason", reason),
        ("error", error or "none"),
        ("place", letter.place or "unknown"),
        ("attempts", str(letter.attempts)),
        ("first", letter.first.isoformat()),
        ("parked", f"{letter.last.isoformat()} ({_age(letter)} ago)"),
    ):
        out.print(Text(f"{name:<9}", "dim").append(one_line(value, most=2000), "red" if name == "reason" else "default"))
    try:
        event = sight.attributes(letter.envelope())
    except DecodeError:
        more = "…" if len(letter.body) > _MOST_BYTES else ""
        what = "bytes that are no event" if letter.is_whole else f"of {letter.size:,} bytes, of which no more could be kept"
        out.print(Text(f"{len(letter.body):,} {what}: {sight.hex(letter.body[:_MOST_BYTES])}{more}"))
    else:
        text = json.dumps(_shown(event), indent=2, ensure_ascii=False)
        out.print(Text("\n".join(one_line(line, most=4000) for line in text.splitlines())))
    out.print()


def tree(letter: DeadLetter, sight: Sight = USUAL) -> dict[str, Any]:
    """Return one as a JSON tree, which any terminal shows as it is."""
    reason, error = sight.texts(letter)
    found: dict[str, Any] = {
        "id": letter.id,
        "topic": letter.topic,
        "channel": letter.channel,
        "type": letter.event_type,
        "reason": reason,
        "error": error,
        "place": letter.place,
        "attempts": letter.attempts,
        "first": letter.first.isoformat(),
        "parked": letter.last.isoformat(),
    }
    if letter.proof:
        found["proof"] = letter.proof
    try:
        found["event"] = sight.attributes(letter.envelope())
    except DecodeError as error:
        found["undecodable"] = error.reason
        found["hex"] = sight.hex(letter.body)
        found["size"] = letter.size
    shown: dict[str, Any] = _shown(found)
    return shown


def _shown(tree: Any) -> Any:
    """The tree as any JSON writer takes it and any terminal shows it: bytes in hex, what steers a terminal written out."""
    if isinstance(tree, dict):
        return {lines(key): _shown(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_shown(value) for value in tree]
    if isinstance(tree, str):
        return lines(tree, most=sys.maxsize)
    return tree.hex() if isinstance(tree, bytes) else tree
