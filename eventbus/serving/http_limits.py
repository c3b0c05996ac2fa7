"""HTTP limits: how much and how long a client may take of a server, all in bytes and total seconds."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Limits of one server. Each time limit is a total, which no further byte renews.

    Attributes:
        connections: most connections at a time; when all are taken, the one that waits longest for its client gives way.
        idle: seconds for which a kept connection waits for its next request.
        head: seconds from the first byte of a request to the end of its head.
        body: seconds from the end of the head to the end of the body.
        answer: seconds in which the client must take the answer.
        head_bytes: longest request head; a longer one is answered by 431, or by 414 where its first line alone is.
        fields: most header fields of a request.
    """

    connections: int = 1000
    idle: float = 60.0
    head: float = 10.0
    body: float = 30.0
    answer: float = 60.0
    head_bytes: int = 16 * 1024
    fields: int = 100

    def __post_init__(self) -> None:
        times = (self.idle, self.head, self.body, self.answer)
        if not all(0 < each < float("inf") for each in times) or min(self.connections, self.head_bytes, self.fields) < 1:
            raise ConfigurationError(f"{self!r}: give times in seconds above 0, and numbers of 1 or more")
