"""Claims: which events had their effect on a channel.

An event is who published it and the id that he gave it: CloudEvents promises no more than that the two together are unique.
So the claim is (channel, topic, source, id), and somebody else's event of the same id has its effect too. A double whose
data differ from what was claimed is somebody's mistake; it is told, and passed over like any double.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.sql.statements import inserted
from eventbus.sql.tables import inbox
from eventbus.wire.packing import pack

Key = tuple[str, str, str, str]
"""Channel, topic, source and id, as the tables have them."""
_LONGEST = 255


def key_of(context: Context) -> Key:
    """Return the key under which an event is claimed."""
    envelope = context.envelope
    return context.channel, context.topic, _stored(envelope.source), _stored(envelope.id)


def _stored(text: str) -> str:
    """Return `text` as the tables hold it: what is longer than a column, or than an index can take, by its hash."""
    if len(text) <= _LONGEST and text.isascii() and "\0" not in text:
        return text
    return "blake2b:" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


def digest_of(data: Any) -> bytes | None:
    """Return a hash of an event's data; None where they cannot be packed."""
    try:
        return blake2b(pack(data), digest_size=16).digest()
    except Exception:  # beyond msgpack's numbers: then doubles of it are not compared
        return None


def which(table: sa.Table, key: Key) -> sa.ColumnElement[bool]:
    """Return the condition for the row of a key."""
    channel, topic, source, event_id = key
    return sa.and_(
        table.c.channel == channel, table.c.topic == topic, table.c.source == source, table.c.event_id == event_id
    )


def claim(
    connection: Connection, contexts: Sequence[Context], now: float, *, look_back: bool = False
) -> tuple[list[int], list[int]]:
    """Claim events for their channel; return the positions of those that were not claimed yet, and of doubles with other
    data.

    Args:
        now: seconds since 1970.
        look_back: whether claims of version 1, which know no topic and no source, count too.

    In the order of their keys, so that two who claim the same events wait for one another and never in a circle.
    """
    keys = [key_of(context) for context in contexts]
    digests = [digest_of(context.envelope.data) for context in contexts]
    rows: dict[Key, dict[str, Any]] = {}
    first: dict[Key, int] = {}
    for position in sorted(range(len(keys)), key=keys.__getitem__):
        key = keys[position]
        if key not in rows:
            names = ("channel", "topic", "source", "event_id")
            rows[key] = {**dict(zip(names, key, strict=True)), "claimed_at": now, "digest": digests[position]}
            first[key] = position
    mine = set(inserted(connection, inbox, list(rows.values())))
    if look_back:
        mine = {key for key in mine if not _is_claimed(connection, (key[0], "", "", key[3]))}
    fresh = sorted(position for key, position in first.items() if key in mine)
    odd = [
        position
        for position in range(len(keys))
        if position not in fresh and _differs(connection, keys[position], digests[position], rows[keys[position]], mine)
    ]
    return fresh, odd


def unclaimed(connection: Connection, contexts: Sequence[Context], *, look_back: bool = False) -> list[int]:
    """Return the positions of the events that nobody has claimed, the first of each; claim none."""
    fresh: dict[Key, int] = {}
    for position, context in enumerate(contexts):
        key = key_of(context)
        old = (key[0], "", "", key[3])
        if key not in fresh and not _is_claimed(connection, key) and not (look_back and _is_claimed(connection, old)):
            fresh[key] = position
    return list(fresh.values())


def has_old(connection: Connection) -> bool:
    """Whether there are claims of version 1."""
    return connection.scalar(sa.select(inbox.c.channel).where(inbox.c.topic == "").limit(1)) is not None


def _is_claimed(connection: Connection, key: Key) -> bool:
    return connection.scalar(sa.select(inbox.c.channel).where(which(inbox, key))) is not None


def _differs(connection: Connection, key: Key, digest: bytes | None, row: dict[str, Any], mine: set[Any]) -> bool:
    claimed = row["digest"] if key in mine else connection.scalar(sa.select(inbox.c.digest).where(which(inbox, key)))
    return claimed is not None and digest is not None and claimed != digest


def give_up(connection: Connection, contexts: Sequence[Context], now: float) -> None:
    """Take back the claims that were made at `now`, where a handler committed them with half an effect."""
    for context in contexts:
        connection.execute(sa.delete(inbox).where(which(inbox, key_of(context)), inbox.c.claimed_at == now))
