"""HTTP to nsqd and nsqlookupd: small requests with time and size limits, over gevent's sockets, patched or not."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlencode

import gevent
import gevent.socket

from eventbus.engines.nsq.addresses import Address
from eventbus.errors import EventBusError

_MAX_ANSWER = 64 * 1024 * 1024


class HttpError(EventBusError):
    """Raised when a server does not answer as NSQ's do; `status` is HTTP's, or None."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = gevent.socket.create_connection((self.host, self.port), timeout=self.timeout)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Message
    body: bytes


def exchange(address: Address, method: str, target: str, *, timeout: float) -> Answer:
    """Return the answer of a server, whatever it is.

    Raises:
        HttpError: there is none, or no HTTP, with the address and the reason; within `timeout` seconds.
    """
    connection = _Connection(address.host, address.port, timeout=timeout)
    try:
        with gevent.Timeout(timeout, HttpError(f"{address}: no whole answer to {target} within {timeout:g} s")):
            connection.request(method, target, headers={"Accept": "application/vnd.nsq; version=1.0"})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read(_MAX_ANSWER))
    except HttpError:
        raise
    except http.client.HTTPException as error:
        raise HttpError(
            f"{address}: answers no HTTP ({type(error).__name__}): give the HTTP port (nsqd 4151, nsqlookupd 4161)"
        ) from error
    except ConnectionResetError as error:
        raise HttpError(f"{address}: closed the connection: give the HTTP port (nsqd 4151, nsqlookupd 4161)") from error
    except OSError as error:
        raise HttpError(f"{address}: {error}") from error
    finally:
        connection.close()


def request(address: Address, method: str, path: str, *, timeout: float, **query: str) -> Any:
    """Return the JSON that the server answers, or None for an empty or plain answer.

    Raises:
        HttpError: for anything else, with the address and the reason; within `timeout` seconds.
    """
    answer = exchange(address, method, f"{path}?{urlencode(query)}" if query else path, timeout=timeout)
    return _read(address, path, answer.status, answer.body)


def _read(address: Address, path: str, status: int, body: bytes) -> Any:
    try:
        answer = json.loads(body) if body[:1] in b"{[" and body else None
    except ValueError:
        raise HttpError(f"{address}: answers {path} with broken JSON", status) from None
    if status != 200:
        reason = answer.get("message") if isinstance(answer, dict) else None
        raise HttpError(f"{address}: answers {path} with {status} {reason or ''}".rstrip(), status)
    if isinstance(answer, dict) and "status_code" in answer and isinstance(answer.get("data"), dict):
        return answer["data"]  # the form of NSQ before 1.0
    return answer
