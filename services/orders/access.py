"""Access: who may use the API, and how many orders they may place in a time."""

from __future__ import annotations

import hmac
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from flask import Request
from pydantic import SecretStr
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import TooManyRequests, Unauthorized

from services.orders.settings import OrdersSettings

_OPEN = ("/healthz", "/readyz")
"""Asked by orchestrators, and told nothing of orders."""


log = logging.getLogger("services.orders")


def warn_of_open_door(settings: OrdersSettings) -> None:
    """Say so where strangers could reach an API without a login."""
    if not settings.tokens and settings.host not in ("127.0.0.1", "::1", "localhost"):
        log.warning("the API on %s has no login: whoever reaches it reads all orders; set ORDERS_TOKENS", settings.host)


class Clients:
    """Knows clients by their tokens; without any token everybody is the same client."""

    def __init__(self, tokens: Mapping[str, SecretStr]) -> None:
        self._tokens = {name: token.get_secret_value().encode() for name, token in tokens.items()}

    def name_of(self, request: Request) -> str:
        """Return the client's name; empty where no tokens are set up.

        Raises:
            werkzeug.exceptions.Unauthorized: tokens are set up, and the request brings none of them.
        """
        if not self._tokens or request.path in _OPEN:
            return ""
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        found = ""
        for name, token in self._tokens.items():  # each is compared, so that the time tells nothing
            if hmac.compare_digest(token, given.strip().encode("utf-8", "replace")) and kind.lower() == "bearer":
                found = name
        if not found:
            raise Unauthorized("send a token as Authorization: Bearer", www_authenticate=WWWAuthenticate("bearer"))
        return found


class RateLimit:
    """At most `most` in `seconds` for each key; remembers a bounded number of keys, those that came last.

    Args:
        most: None for no limit.
        time: returns the seconds of some clock.
    """

    def __init__(self, most: int | None, seconds: float, time: Callable[[], float], *, keys: int = 10_000) -> None:
        self._most = most
        self._seconds = seconds
        self._time = time
        self._keys = keys
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str, said: str) -> None:
        """Count one.

        Raises:
            werkzeug.exceptions.TooManyRequests: it would be too many; says when to come again.
        """
        if self._most is None:
            return
        now = self._time()
        times = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        while times and times[0] <= now - self._seconds:
            times.popleft()
        if len(times) >= self._most:
            raise TooManyRequests(said, retry_after=max(1, round(times[0] + self._seconds - now)))
        times.append(now)
        while len(self._seen) > self._keys:
            self._seen.popitem(last=False)
