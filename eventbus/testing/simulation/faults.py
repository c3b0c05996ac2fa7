"""Faults: what a simulation lets go wrong, each with a name by which it can be asked for again.

A name is `kind:place:number`, such as `dies-after:ship:1`: the first run of the handler `ship`. Some kinds have a further
number: which of several publishes, or of several messages that wait.
"""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.errors import ConfigurationError

KINDS: dict[str, str] = {
    "twice": "the broker delivers it a second time",
    "overtaken": "another message that waits is delivered before it",
    "dies-before": "the process dies before the handler runs",
    "dies-between": "the process dies between an effect and what it publishes next",
    "dies-committing": "the process dies before its transaction is committed",
    "dies-after": "the process dies after the effect, before the answer",
    "times-out": "the handler's time is up, after its effect",
    "late": "its retry comes an hour late",
    "together": "another worker handles the next message at the same moment",
    "stops": "the service is stopped while the handler runs, and started again",
    "unknown": "the broker has the message, and its confirmation is lost",
    "forgotten": "the broker forgets a message that it confirmed",
    "parking": "the dead letter cannot be written at the first try",
    "older": "it comes in an older version of its contract",
}
"""Every kind of fault, and what it is in a story."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong at one place of a schedule.

    Attributes:
        kind: one of `KINDS`.
        place: the handler, or the type of the event.
        number: which of its runs, deliveries or messages, from 1.
        detail: which publish of the run, or which of the messages that wait; 0 where there is one only.
    """

    kind: str
    place: str
    number: int
    detail: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}:{self.number}" + (f":{self.detail}" if self.detail else "")


Schedule = tuple[Fault, ...]
"""Faults in the order in which they come; none: all goes well."""


def name_of(schedule: Schedule) -> str:
    """Return the text by which a schedule can be had again."""
    return "+".join(map(str, schedule)) or "none"


def read_schedule(text: str) -> Schedule:
    """Return the schedule that `name_of` gave a name.

    Raises:
        ConfigurationError: it is none.
    """
    if text == "none":
        return ()
    faults = []
    for name in text.split("+"):
        kind, *rest = name.strip().split(":")
        numbers = rest[1:]
        if kind not in KINDS or not 2 <= len(rest) <= 3 or not all(each.isdigit() for each in numbers):
            raise ConfigurationError(
                f"only={text!r}: {name!r} is no fault; write kind:place:number as a story ends with, with one of the kinds "
                f"{', '.join(KINDS)}"
            )
        faults.append(Fault(kind, rest[0], int(numbers[0]), int(numbers[1]) if len(numbers) > 1 else 0))
    return tuple(faults)
