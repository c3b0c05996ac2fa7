"""Names of topics and channels: NSQ's rule, kept on every engine so that a service can move.

1 to 64 characters of letters, digits, `.`, `_` and `-`, the suffix `#ephemeral` included
(nsqio/nsq `internal/protocol/names.go`).
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from eventbus.errors import InvalidNameError

MAX_LENGTH = 64
EPHEMERAL = "#ephemeral"
INTERNAL = "eventbus."
RECEIPTS = ".receipts"
_RULE = re.compile(r"[.a-zA-Z0-9_-]+(#ephemeral)?")


def check_name(name: object, *, kind: str) -> str:
    """Return `name` if it is a valid name of `kind` ("topic" or "channel").

    Raises:
        InvalidNameError: with the rule that it breaks.
    """
    if not isinstance(name, str) or not name:
        raise InvalidNameError(f"{kind} name {name!r}: give a string of 1 to {MAX_LENGTH} characters")
    if len(name) > MAX_LENGTH:
        raise InvalidNameError(f"{kind} name {name!r} has {len(name)} characters; the limit is {MAX_LENGTH}")
    if _RULE.fullmatch(name) is None:
        raise InvalidNameError(
            f"{kind} name {name!r}: only letters, digits, '.', '_' and '-' are allowed, and '{EPHEMERAL}' at the end"
        )
    return name


def is_ephemeral(name: str) -> bool:
    """Whether the topic or channel vanishes with its last subscriber."""
    return name.endswith(EPHEMERAL)


@lru_cache(maxsize=1024)  # asked for each delivery that is told
def is_internal(name: str) -> bool:
    """Whether a topic is the library's own: receipts of an outbox, outcomes, words between tools."""
    return name.startswith(INTERNAL) or name.removesuffix(EPHEMERAL).endswith(RECEIPTS)


PARKED = "parked"
"""The channel that holds the dead letters of a dead-letter topic."""


def dead_letter_topic(topic: str, channel: str) -> str:
    """Return the topic that takes the dead letters of `topic` on `channel`: `<topic>.<channel>.dead`.

    Raises:
        InvalidNameError: when the three together pass 64 characters; found when a service is declared.
    """
    name = f"{topic.removesuffix(EPHEMERAL)}.{channel.removesuffix(EPHEMERAL)}.dead"
    if len(name) > MAX_LENGTH:
        raise InvalidNameError(
            f"dead-letter topic {name!r} of topic {topic!r} and channel {channel!r} has {len(name)} characters; "
            f"the limit is {MAX_LENGTH}: shorten the topic or the service's name"
        )
    return name


def warn_without_room(topic: str, event_name: str) -> None:
    """Warn of a topic that can be published and never bound: its dead letters would have no topic on any channel."""
    room = MAX_LENGTH - len(f"{topic.removesuffix(EPHEMERAL)}..dead")
    if room < 1:
        warnings.warn(
            f"{event_name}: topic {topic!r} has {len(topic)} characters and leaves none for the channel in the name of a "
            f"dead-letter topic (<topic>.<channel>.dead, {MAX_LENGTH} in all): no service can subscribe; shorten it",
            stacklevel=4,
        )


def is_dead_letter_topic(name: str) -> bool:
    """Whether a topic holds dead letters."""
    return name.endswith(".dead")
