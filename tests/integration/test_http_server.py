"""The HTTP server against clients that are slow, many or sly, over real connections."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import pytest

from eventbus.errors import ConfigurationError
from eventbus.serving import HttpLimits, WebServer
from eventbus.serving.request_head import is_own_host
from tests.nsqd import HOST

FIRST = b"POST /x HTTP/1.1\r\nHost: x\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Says which path was asked for, and how long the body was."""
    read = environ["wsgi.input"].read()
    body = f"{environ['PATH_INFO']} {len(read)}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def unread(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers without looking at the body."""
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]


@contextmanager
def serving(application: Any = app, **options: Any) -> Iterator[WebServer]:
    server = WebServer(application, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop_intake()
        server.stop(1.0)


def talk(server: WebServer, *pieces: bytes, pause: float = 0.0) -> tuple[list[int], bytes, bool]:
    """Return the codes of the answers, what came in all, and whether the server ended the connection."""
    seen: list[bytes] = []
    ended = threading.Event()

    def work() -> None:
        with socket.create_connection((HOST, server.port), timeout=20) as connection:
            connection.settimeout(20)
            with suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(pause)
            try:
                while read := connection.recv(65536):
                    seen.append(read)
                ended.set()
            except OSError:
                pass

    gevent.get_hub().threadpool.apply(work)
    said = b"".join(seen)
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", said)], said, ended.is_set()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (FIRST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (FIRST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}", 400),
        (FIRST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
        (FIRST + b"Content-Length: 1_0\r\n\r\n", 400),
        (FIRST + b"Content-Length: +2\r\n\r\n{}", 400),
        (FIRST + b"Content-Length: -2\r\n\r\n{}", 400),
        (FIRST + b"Content-Length: 0x2\r\n\r\n{}", 400),
        (FIRST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}", 400),
        (FIRST + b"Content-Length:\r\n\r\n", 400),
        (FIRST + b"Content-Length : 2\r\n\r\n{}", 400),
        (FIRST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (FIRST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (FIRST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (FIRST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (FIRST + b"Transfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n", 501),
        (FIRST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (FIRST + b" folded: 1\r\n\r\n", 400),
        (FIRST + b"X: 1\r\n folded\r\n\r\n", 400),
        (FIRST + b"X: a\x00b\r\n\r\n", 400),
        (FIRST + b"X: a\rb\r\n\r\n", 400),
        (FIRST + b"no colon\r\n\r\n", 400),
        (FIRST + b": no name\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /#part HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://user@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.x\r\nHost: x\r\n\r\n", 400),
        (FIRST + b"Expect: a miracle\r\n\r\n", 417),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (FIRST + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (FIRST + b"X: a\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_a_request_that_two_readers_could_read_differently_is_the_last_of_its_connection(raw: bytes, status: int) -> None:
    with serving() as server:
        codes, said, ended = talk(server, raw + NEXT)
    assert codes == [status], said
    assert ended
    assert b"Content-Type: application/problem+json\r\n" in said


@pytest.mark.parametrize(
    ("raw", "answers"),
    [
        (FIRST + b"Content-Length: 2\r\n\r\n{}", [b"/x 2"]),
        (FIRST + b"Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nT: 1\r\n\r\n", [b"/x 2"]),
        (b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", [b"/ 0"]),
        (b"GET http://x/there?a=1 HTTP/1.1\r\nHost: y\r\n\r\n", [b"/there 0"]),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [b"/ 0"]),
        (b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", [b"/ 0"]),
        (NEXT + NEXT, [b"/next 0", b"/next 0"]),
    ],
)
def test_what_is_plainly_one_request_is_answered_and_the_next_one_too(raw: bytes, answers: list[bytes]) -> None:
    with serving() as server:
        codes, said, _ = talk(server, raw + b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert codes == [200] * (len(answers) + 1), said
    assert re.findall(rb"\r\n\r\n(/\S* \d+)", said) == [*answers, b"/end 0"]


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"\r\n", b"2\r\n{}x", b"-1\r\n", b"1" * 17 + b"\r\n", b"5\n{}"])
def test_chunks_that_are_none_end_the_connection(chunks: bytes) -> None:
    with serving() as server:
        codes, said, ended = talk(server, FIRST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"\r\n" + NEXT)
    assert ended
    assert b"/next" not in said
    assert len(codes) <= 1


def test_a_body_that_nobody_reads_is_not_read_to_its_end() -> None:
    with serving(unread) as server:
        small = talk(
            server,
            FIRST
            + b"Content-Length: 1000\r\n\r\n"
            + b"x" * 1000
            + NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        )
        assert small[0] == [200, 200], "a short one is passed over"
        for head in (b"Content-Length: 1000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\n"):
            codes, said, ended = talk(server, FIRST + head + b"x" * 200_000)
            assert (codes, ended) == ([200], True)
            assert b"Connection: close" in said


def test_nobody_is_kept_waiting_for_the_body_of_a_client_that_waits_for_a_word() -> None:
    with serving(unread) as server:
        codes, _, ended = talk(server, FIRST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
    assert (codes, ended) == ([200], True)
    with serving() as server:
        codes, _, _ = talk(
            server, FIRST + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", b"{}", pause=0.2
        )
    assert codes == [100, 200]


@pytest.mark.parametrize(
    ("start", "limit", "answers"),
    [
        (b"GET / HTTP/1.1\r\nX: ", "head", [408]),
        (FIRST + b"Content-Length: 100000\r\n\r\n", "body", [408]),
        (FIRST + b"Transfer-Encoding: chunked\r\n\r\n", "body", [408]),
        (b"", "idle", []),
    ],
)
def test_a_time_limit_is_a_total_that_no_byte_renews(start: bytes, limit: str, answers: list[int]) -> None:
    trickle = [] if limit == "idle" else [b"1\r\na\r\n" if b"chunked" in start else b"a"] * 400
    times = {"idle": 30.0, "head": 30.0, "body": 30.0, limit: 1.0}
    with serving(limits=HttpLimits(**times)) as server:
        codes, _, ended = talk(server, start, *trickle, pause=0.05)
    assert (codes, ended) == (answers, True)


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nX: ", FIRST + b"Content-Length: 10\r\n\r\n"])
def test_connections_that_wait_for_their_clients_give_way(start: bytes) -> None:
    limits = HttpLimits(connections=5, idle=600.0, head=600.0, body=600.0)
    with serving(limits=limits) as server:
        held = [socket.create_connection((HOST, server.port)) for _ in range(20)]
        try:
            for each in held:
                each.sendall(start)
            gevent.sleep(0.1)
            codes, _, _ = talk(server, NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert codes == [200]
        finally:
            for each in held:
                each.close()


def test_a_stop_closes_idle_connections_and_lets_a_request_end() -> None:
    begun = threading.Event()

    def slow(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun.set()
        gevent.sleep(0.5)
        return app(environ, start_response)

    server = WebServer(slow)
    server.start()
    idle = socket.create_connection((HOST, server.port))
    asked = gevent.spawn(talk, server, NEXT)
    while not begun.is_set():
        gevent.sleep(0.01)
    server.stop_intake()
    server.stop(30.0)
    codes, said, ended = asked.get()
    assert (codes, ended) == ([200], True)
    assert b"Connection: close" in said
    idle.settimeout(5)
    assert idle.recv(10) == b""
    idle.close()


def test_a_name_that_is_not_ours_is_refused_where_names_are_given() -> None:
    def ask(host: bytes, **options: Any) -> list[int]:
        with serving(**options) as server:
            return talk(server, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")[0]

    assert ask(b"evil.example", hosts=["shop.example.org"]) == [421]
    assert ask(b"shop.example.org:8000", hosts=["shop.example.org"]) == [200]
    assert ask(b"evil.example") == [200], "no names, no check"


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("localhost", True),
        ("orders:8000", True),
        ("shop.localhost", True),
        ("Shop.Example.org", True),
        ("evil.example", False),
        ("evil.example.", False),
        ("127.0.0.1.evil.example", False),
        ("shop.example.org.evil.example", False),
    ],
)
def test_which_hosts_are_ours(host: str, is_ours: bool) -> None:
    assert is_own_host(host, ["shop.example.org"]) is is_ours


@pytest.mark.parametrize("values", [{"idle": 0.0}, {"head": float("inf")}, {"connections": 0}, {"fields": 0}])
def test_limits_that_are_none_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="give times"):
        HttpLimits(**values)


def test_a_check_that_does_not_end_is_a_failure() -> None:
    from eventbus.serving import failed_checks

    def hangs() -> None:
        gevent.sleep(3600)

    checks: dict[str, Callable[[], object]] = {"database": hangs, "other": lambda: None}
    assert failed_checks(checks, timeout=0.1) == {"database": "TimeoutError"}
