"""Groups: dead letters by their cause. Forty letters of one fault are one thing to mend, and not forty.

Two letters have the same cause where topic, channel, kind of failure, place and text are the same, once ids, numbers,
quotations and addresses are cut out of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from eventbus.dead_letters.letter import DeadLetter
from eventbus.runtime.redaction import one_line

Texts = Callable[[DeadLetter], tuple[str, str | None]]
"""Gives what may be shown of a letter's reason and of its error."""

_CUT = re.compile(
    r"""'[^']*'|"[^"]*"|`[^`]*`"""  # quotations
    r"|\S+@\S+\.\w+"  # addresses
    r"|\b0x[0-9a-fA-F]+\b|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b(?=[0-9_-]*[A-Za-z])(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]+\b"  # words of letters and digits, as TRK-4B5C
    r"|(?<![A-Za-z])[-+]?\d+(?:[.,:]\d+)*"
)
_MOST = 200
_TO_CUT = 1000
_EXAMPLES = 3


def cause_of(text: str) -> str:
    """Return a text without what is another in each letter."""
    return one_line(re.sub(r"(?:…[\s,]*){2,}", "… ", _CUT.sub("…", text[:_TO_CUT])).strip(), most=_MOST)


@dataclass(slots=True)
class Group:
    """Dead letters of one cause.

    Attributes:
        key: what it is chosen by: a few hexadecimal digits, the same wherever and whenever it is asked for.
        topic, channel: where they lie.
        kind: the error's type, or the kind of the reason where there was none.
        place: the innermost frame of the user's code, or None.
        cause: the text, without what differs.
        count: how many there are.
        first, last: when the first and the last of them was parked.
        ids: of some of them.
    """

    key: str
    topic: str
    channel: str
    kind: str
    place: str | None
    cause: str
    count: int
    first: datetime
    last: datetime
    ids: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Letters an hour between the first and the last; all of them where that is less than an hour."""
        return self.count / max((self.last - self.first).total_seconds() / 3600, 1.0)


def _told(letter: DeadLetter, texts: Texts) -> tuple[str, str]:
    """Return kind and cause of a letter."""
    reason, error = texts(letter)
    kind, _, text = (error or reason).partition(":")
    return one_line(kind, most=80), cause_of(text) or ("" if error is None else cause_of(reason))


def key_of(letter: DeadLetter, texts: Texts) -> str:
    """Return the key of the group to which a letter belongs."""
    joined = "\0".join((letter.topic, letter.channel, *_told(letter, texts), letter.place or ""))
    return blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def grouped(letters: Iterable[DeadLetter], texts: Texts, shown: Texts | None = None) -> Sequence[Group]:
    """Return the groups of these letters, the largest first.

    Args:
        texts: by which they are grouped; what is shown to everybody, so that keys are the same for all.
        shown: what is told of each group, if that is more or less.
    """
    groups: dict[str, Group] = {}
    for each in letters:
        key = key_of(each, texts)
        group = groups.get(key)
        if group is None:
            kind, cause = _told(each, shown or texts)
            group = groups[key] = Group(key, each.topic, each.channel, kind, each.place, cause, 0, each.last, each.last)
        group.count += 1
        group.first, group.last = min(group.first, each.last), max(group.last, each.last)
        if len(group.ids) < _EXAMPLES:
            group.ids.append(each.id)
    return sorted(groups.values(), key=lambda group: (-group.count, group.key))
