"""Access: who may see the page, and what a browser may do for it.

On the loopback anybody of this machine may look. Elsewhere, and for whatever changes anything, a token is needed: it is
exchanged for a signed cookie that no script reads and no other site sends. A request that changes anything must come from
this page itself: its Origin is compared with its Host, and it carries a word that only the page knows.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from secrets import token_bytes, token_urlsafe
from urllib.parse import urlsplit

from flask import Flask, Request, Response, session

from eventbus.errors import ConfigurationError

ACTIONS = ("replay", "pause")
"""What `allow` may name."""
_ENTERED, _WORD = "entered", "word"
_LEAST = 16
"""Fewest characters of a token."""

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends forms with `Origin: null`
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Rules of one page.

    Attributes:
        token: what one must know to enter; None for everybody of this machine.
        allow: what may be done, of ACTIONS; needs a token. `replay` has dry runs with it.
        shows_bodies: whether data of events and texts of errors are shown.
    """

    token: str | None = None
    allow: frozenset[str] = frozenset()
    shows_bodies: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(self.allow.difference(ACTIONS))
        if unknown:
            raise ConfigurationError(f"the page cannot allow {', '.join(unknown)}; there is: {', '.join(ACTIONS)}")
        if self.allow and not self.token:
            raise ConfigurationError("what the page may change needs a token: give --token, or EVENTBUS_PAGE_TOKEN")
        if self.token is not None and len(self.token) < _LEAST:
            raise ConfigurationError(f"the page's token is shorter than {_LEAST} characters; `--token new` makes one")

    def check_host(self, host: str) -> None:
        """Raise ConfigurationError where others could see a page without a token."""
        if self.token is None and not _is_loopback(host):
            raise ConfigurationError(
                f"a page on {host} is seen by other machines: give --token, or EVENTBUS_PAGE_TOKEN, or leave --host alone"
            )

    def prepare(self, app: Flask) -> None:
        """Set the rules of cookies and the headers of each answer."""
        app.secret_key = token_bytes(32)  # whoever entered enters again after a restart
        app.config.update(
            SESSION_COOKIE_NAME=f"eventbus-{token_urlsafe(4)}",  # cookies know no ports, and a machine may have two pages
            SESSION_COOKIE_HTTPONLY=True,
            SESSION_COOKIE_SAMESITE="Strict",
            MAX_CONTENT_LENGTH=64 * 1024,
        )

        @app.after_request
        def shut(response: Response) -> Response:
            response.headers.update(_HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

    def has_entered(self) -> bool:
        """Whether the request may see the page."""
        return self.token is None or bool(session.get(_ENTERED))

    def enter(self, given: str) -> bool:
        """Take a token; return whether it is the right one."""
        if self.token is None or not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            return False
        session.clear()
        session[_ENTERED] = True
        return True

    def word(self) -> str:
        """Return the word that this viewer's requests carry where they change anything."""
        if _WORD not in session:
            session[_WORD] = token_urlsafe(16)
        return str(session[_WORD])

    def refusal(self, request: Request, action: str) -> str | None:
        """Return why a request may not do `action`, or None where it may."""
        if action not in self.allow:
            return f"this page may not {action}: start it with --allow {action} and a token"
        if not self.has_entered():
            return "enter the token first"
        if not is_same_origin(request):
            return "the request comes from another site"
        if not hmac.compare_digest(request.headers.get("X-Word", "").encode("utf-8", "replace"), self.word().encode()):
            return "the page is older than this server: load it again"
        return None


def is_same_origin(request: Request) -> bool:
    """Whether a browser sent the request for a page of this server."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc.lower() == request.host.lower()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
