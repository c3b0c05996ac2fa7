"""HTTP to nsqd and nsqlookupd: small requests with time and size limits, over gevent's sockets, patched or not.

An nsqd that asks for TLS closes its plain port to all but the word that it does, and where its other port is: with TLS on,
that port is asked instead, with the same certificates as over TCP.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlencode

import gevent
import gevent.socket
import gevent.ssl

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.dialing import dial
from eventbus.engines.nsq.layers import tls_context
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.schema import A, fit, peer_text
from eventbus.errors import EventBusError

MOST = 4 * 1024 * 1024
"""Bytes of an answer: it is read in the hub, where nothing else happens meanwhile."""
MOST_STATS = 16 * 1024 * 1024
"""For statistics: thousands of topics with their clients."""


class HttpError(EventBusError):
    """Raised when a server does not answer as NSQ's do; `status` is HTTP's, or None."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Address, timeout: float, context: ssl.SSLContext | None, server_name: str | None) -> None:
        super().__init__(address.host, address.port, timeout=timeout)
        self._address = address
        self._seconds = timeout
        self._context = context
        self._server_name = server_name or address.host

    def connect(self) -> None:
        self.sock = dial(self._address, timeout=self._seconds)
        if self._context is not None:
            # the context's own wrap_socket makes a socket of the standard library, where nothing is patched
            self.sock = gevent.ssl.SSLSocket(self.sock, server_hostname=self._server_name, _context=self._context)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Message
    body: bytes


def exchange(
    address: Address,
    method: str,
    target: str,
    *,
    timeout: float,
    most: int = MOST,
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> Answer:
    """Return the answer of a server, whatever it is.

    Args:
        most: bytes of the longest answer.
        context: for HTTPS; None for plain HTTP.

    Raises:
        HttpError: there is none, or no HTTP, or a longer one, with the address and the reason; within `timeout` seconds.
    """
    connection = _Connection(address, timeout, context, server_name)
    try:
        with gevent.Timeout(timeout, HttpError(f"{address}: no whole answer to {target} within {timeout:g} s")):
            connection.request(method, target, headers={"Accept": "application/vnd.nsq; version=1.0"})
            response = connection.getresponse()
            body = response.read(most + 1)
            if len(body) > most:
                raise HttpError(f"{address}: answers {target} with more than {most:,} bytes", response.status)
            return Answer(response.status, response.headers, body)
    except HttpError:
        raise
    except http.client.HTTPException as error:
        raise HttpError(
            f"{address}: answers no HTTP ({type(error).__name__}): give the HTTP port (nsqd 4151, nsqlookupd 4161)"
        ) from error
    except ConnectionResetError as error:
        raise HttpError(f"{address}: closed the connection: give the HTTP port (nsqd 4151, nsqlookupd 4161)") from error
    except (OSError, ValueError) as error:
        raise HttpError(f"{address}: {peer_text(error)}") from error
    finally:
        connection.close()


def request(address: Address, method: str, path: str, *, timeout: float, **query: str) -> Any:
    """Return the JSON that the server answers, or None for an empty or plain answer.

    Raises:
        HttpError: for anything else, with the address and the reason; within `timeout` seconds.
    """
    answer = exchange(address, method, _target(path, query), timeout=timeout)
    return _read(address, path, answer)


class HttpClient:
    """Asks servers as the options say: by HTTPS where they want it and TLS is on.

    Args:
        is_secure: ask by HTTPS from the first word on, whatever the server would answer in the clear.
    """

    def __init__(self, options: NsqOptions, *, is_secure: bool = False) -> None:
        self._options = options
        self._is_secure = is_secure
        self._secure: dict[Address, Address] = {}

    def exchange(self, address: Address, method: str, target: str, *, most: int = MOST) -> Answer:
        """Return the answer of a server, whatever it is; raises HttpError as the function does."""
        ask: Callable[..., Answer] = exchange
        timeout = self._options.connect_timeout
        if self._is_secure:
            self._secure[address] = address
        elif address not in self._secure:
            answer = ask(address, method, target, timeout=timeout, most=most)
            moved = _asks_for_tls(address, answer) if self._options.tls else None
            if moved is None:
                return answer
            self._secure[address] = moved
        context = tls_context(self._options)
        name = self._options.tls_server_name or address.host
        try:
            return ask(self._secure[address], method, target, timeout=timeout, most=most, context=context, server_name=name)
        except HttpError:
            self._secure.pop(address, None)  # it may have been started anew without TLS
            raise

    def request(self, address: Address, method: str, path: str, **query: str) -> Any:
        """Return the JSON that the server answers, or None for an empty or plain answer; raises HttpError."""
        return _read(address, path, self.exchange(address, method, _target(path, query)))

    def ask(
        self, address: Address, path: str, model: type[A], query: dict[str, str] | None = None, *, most: int = MOST
    ) -> A:
        """Return what the server answers, in the form that it must have.

        Raises:
            HttpError: for anything else, with the address and the reason.
        """
        answer = self.exchange(address, "GET", _target(path, query or {}), most=most)
        return read_as(address, path, answer, model)


def read_as(address: Address, path: str, answer: Answer, model: type[A]) -> A:
    """Return an answer in the form that it must have; raises HttpError."""
    tree = _read(address, path, answer)
    try:
        return fit(tree, model)
    except ValueError as error:
        raise HttpError(f"{address}: answers {path} with nonsense ({error})", answer.status) from None


def _target(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _asks_for_tls(address: Address, answer: Answer) -> Address | None:
    """Return where to ask by HTTPS instead; None where plain HTTP is right."""
    if answer.status == 403 and b"TLS_REQUIRED" in answer.body[:1000]:
        tree = _read(address, "/", Answer(200, answer.headers, answer.body))
        port = tree.get("https_port") if isinstance(tree, dict) else None
        if isinstance(port, int) and 0 < port < 65536:
            return Address(address.host, port)
        raise HttpError(f"{address}: asks for HTTPS and names no port for it", 403)
    if answer.status == 400 and b"HTTPS server" in answer.body[:200]:
        return address
    return None


def _read(address: Address, path: str, answer: Answer) -> Any:
    body, status = answer.body, answer.status
    try:
        tree = json.loads(body) if body[:1] in b"{[" and body else None
    except (ValueError, RecursionError):
        raise HttpError(f"{address}: answers {path} with broken JSON", status) from None
    if status != 200:
        reason = tree.get("message") if isinstance(tree, dict) else None
        raise HttpError(f"{address}: answers {path} with {status} {peer_text(reason or '')}".rstrip(), status)
    if isinstance(tree, dict) and "status_code" in tree and isinstance(tree.get("data"), dict):
        return tree["data"]  # the form of NSQ before 1.0
    return tree
