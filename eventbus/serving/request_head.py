"""Request head: reads the head of an HTTP/1 request as RFC 9112 has it, and refuses what two readers could read differently.

A proxy in front that sees another end of a request than this server lets a client slip a second request past it. So nothing
is guessed here: whatever is not plainly one request is refused and its connection closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from eventbus.serving.http_limits import HttpLimits

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[!-\"$-~]+")  # visible ASCII without "#": a fragment never travels
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_DIGITS = re.compile(r"[0-9]{1,18}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")


class RefusedRequestError(ValueError):
    """Raised when a request cannot be taken; the connection is closed after the answer.

    Attributes:
        status: what it is answered by.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head.

    Attributes:
        target: path and query, as they came; `*` for OPTIONS of the whole server.
        version: `HTTP/1.0` or `HTTP/1.1`.
        fields: header fields as names and values, in their order.
        length: bytes of the body; None where there is none, or where it is chunked.
    """

    method: str
    target: str
    version: str
    fields: tuple[tuple[str, str], ...]
    length: int | None
    is_chunked: bool
    closes: bool

    def raw_fields(self) -> bytes:
        """Return the fields as they stand on the wire, with the empty line at their end."""
        return "".join(f"{name}: {value}\r\n" for name, value in self.fields).encode("latin-1") + b"\r\n"


def read_head(readline: Callable[[int], bytes], limits: HttpLimits) -> Head | None:
    """Return the head of the next request, or None where the client ended the connection.

    Raises:
        RefusedRequestError: it cannot be taken.
    """
    line = _line(readline, limits.head_bytes, status=414)
    if line == b"":  # one empty line may come before a request (RFC 9112, 2.2)
        line = _line(readline, limits.head_bytes, status=414)
    if line is None:
        return None
    method, target, version = _request_line(line)
    left = limits.head_bytes - len(line)
    fields: list[tuple[str, str]] = []
    while True:
        line = _line(readline, left, status=431)
        if line is None:
            return None
        if line == b"":
            break
        left -= len(line) + 2
        if len(fields) == limits.fields:
            raise RefusedRequestError(431, f"more than {limits.fields} header fields")
        fields.append(_field(line))
    return _understood(method, target, version, fields)


def _line(readline: Callable[[int], bytes], most: int, *, status: int) -> bytes | None:
    line = readline(max(most, 0) + 2)
    if not line.endswith(b"\n"):
        if len(line) < max(most, 0) + 2:
            return None
        raise RefusedRequestError(status, "the request's head is too long")
    if not line.endswith(b"\r\n"):
        raise RefusedRequestError(400, "a line of the head does not end in CR LF")
    return line[:-2]


def _request_line(line: bytes) -> tuple[str, str, str]:
    parts = line.split(b" ")
    if len(parts) != 3 or _TOKEN.fullmatch(parts[0]) is None or _TARGET.fullmatch(parts[1]) is None:
        raise RefusedRequestError(400, "the first line is no request line of HTTP/1.1")
    version = _VERSION.fullmatch(parts[2])
    if version is None:
        raise RefusedRequestError(400, "the first line is no request line of HTTP/1.1")
    if version[1] != b"1":
        raise RefusedRequestError(400, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return parts[0].decode(), parts[1].decode(), "HTTP/1.0" if version[2] == b"0" else "HTTP/1.1"


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or _TOKEN.fullmatch(name) is None:  # also a folded line, and white space before the colon
        raise RefusedRequestError(400, "a header field has no readable name")
    value = value.strip(b" \t")
    if _VALUE.fullmatch(value) is None:
        raise RefusedRequestError(400, "a header field holds control characters")
    return name.decode(), value.decode("latin-1")


def _understood(method: str, target: str, version: str, fields: list[tuple[str, str]]) -> Head:
    def values(wanted: str) -> list[str]:
        return [value for name, value in fields if name.lower() == wanted]

    is_old = version == "HTTP/1.0"
    hosts, codings, lengths = values("host"), values("transfer-encoding"), values("content-length")
    if len(hosts) > 1 or (not hosts and not is_old):
        raise RefusedRequestError(400, "a request names one Host")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise RefusedRequestError(400, "Host is no host")
    length: int | None = None
    if codings:
        if is_old or lengths:
            raise RefusedRequestError(
                400, "Transfer-Encoding with Content-Length or in HTTP/1.0: where the body ends is unclear"
            )
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise RefusedRequestError(501, "the only transfer coding here is chunked")
    elif lengths:
        if len(lengths) > 1 or _DIGITS.fullmatch(lengths[0]) is None:
            raise RefusedRequestError(400, "Content-Length must be one number")
        length = int(lengths[0])
    expected = values("expect")
    if expected and [each.lower() for each in expected] != ["100-continue"]:
        raise RefusedRequestError(417, "the only expectation here is 100-continue")
    target, authority = _origin_form(method, target)
    if authority is not None:  # then what Host says does not count (RFC 9112, 3.2.2)
        fields = [(name, authority if name.lower() == "host" else value) for name, value in fields]
    wishes = {each.strip().lower() for value in values("connection") for each in value.split(",")}
    closes = "close" in wishes or (is_old and "keep-alive" not in wishes)
    return Head(method, target, version, tuple(fields), length, bool(codings), closes)


def _origin_form(method: str, target: str) -> tuple[str, str | None]:
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return target, None
    try:
        parts = urlsplit(target)
        if parts.scheme.lower() in ("http", "https") and parts.hostname and parts.username is None:
            if _HOST.fullmatch(parts.netloc) is None:
                raise ValueError
            path = parts.path or "/"
            return f"{path}?{parts.query}" if parts.query else path, parts.netloc
    except ValueError:
        pass
    raise RefusedRequestError(400, "the request's target is no path of this server")


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Return whether a request that names `host` is meant for this server.

    A web page of a stranger can let its own name point to this machine and so have a browser talk to what listens here
    (DNS rebinding). It needs a name in the public DNS for that, so addresses and names without a dot are always taken, and
    others only where `names` has them.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.lower()
    if name in {each.lower() for each in names} or "." not in name.strip("[]") or name.endswith(".localhost"):
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
