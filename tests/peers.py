"""Peers for what a real nsqd cannot be asked for: one that follows a script, and a proxy that cuts connections."""

from __future__ import annotations

import json
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import gevent
import gevent.event
import gevent.socket
import gevent.ssl
from gevent.server import StreamServer

from eventbus.engines.nsq.addresses import Address


def frame(kind: int, data: bytes) -> bytes:
    return struct.pack(">ii", len(data) + 4, kind) + data


def message(body: bytes, *, attempts: int = 1, identifier: bytes = b"0123456789abcdef") -> bytes:
    return frame(2, struct.pack(">qH16s", 1_700_000_000_000_000_000, attempts, identifier) + body)


class ScriptedNsqd:
    """Shakes hands as nsqd does, and then does what the script says.

    Args:
        script: called for each connection with this peer and the socket, after IDENTIFY was answered.
        identify: called instead of the usual answer to IDENTIFY.
        granted: features that the peer grants.
    """

    def __init__(
        self,
        script: Callable[[ScriptedNsqd, Any], None] | None = None,
        *,
        identify: Callable[[Any], None] | None = None,
        **granted: Any,
    ) -> None:
        self.connections = 0
        self.received: list[bytes] = []
        self.identity: dict[str, Any] = {}
        self._script = script
        self._identify = identify
        self._granted = {"max_rdy_count": 2500, "msg_timeout": 60000, "version": "scripted", **granted}
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.address = Address("127.0.0.1", self._server.server_port)

    def _serve(self, socket: Any, _address: Any) -> None:
        self.connections += 1
        try:
            head = self.read_exactly(socket, 4 + len(b"IDENTIFY\n") + 4)
            size = struct.unpack(">i", head[-4:])[0]
            self.identity = json.loads(self.read_exactly(socket, size))
            if self._identify is not None:
                self._identify(socket)
                return
            socket.sendall(frame(0, json.dumps(self._granted).encode()))
            if self._script is not None:
                self._script(self, socket)
        except OSError:
            pass
        finally:
            socket.close()

    @staticmethod
    def read_exactly(socket: Any, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = socket.recv(size - len(data))
            if not part:
                raise OSError("closed")
            data += part
        return data

    def read_line(self, socket: Any) -> bytes:
        """Read one command line; a body is left to the script."""
        line = b""
        while not line.endswith(b"\n"):
            line += self.read_exactly(socket, 1)
        self.received.append(line)
        return line

    def read_publish(self, socket: Any) -> bytes:
        """Read one PUB, MPUB or DPUB with its body; heartbeats' NOP are passed over."""
        while True:
            line = self.read_line(socket)
            if line != b"NOP\n":
                break
        size = struct.unpack(">i", self.read_exactly(socket, 4))[0]
        body = self.read_exactly(socket, size)
        self.received.append(body)
        return line

    @property
    def url(self) -> str:
        return f"nsq+direct://{self.address}"

    def close(self) -> None:
        self._server.stop(timeout=0.1)


class Proxy:
    """Forwards to an nsqd; can go silent, cut after so many bytes, and hand on in small pieces or random segments.

    Args:
        certificate: file with key and chain, where it is to speak TLS before a peer that does not.
    """

    def __init__(self, target: Address, certificate: Path | None = None) -> None:
        tls = {}
        if certificate is not None:
            tls["ssl_context"] = context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        self.target = target
        self.cut_upstream_after: int | None = None
        self.cut_downstream_after: int | None = None
        self.piece = 65536
        self.is_silent = False
        self.segments: Random | None = None
        self.connections = 0
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **tls)
        self._server.start()
        self.address = Address("127.0.0.1", self._server.server_port)
        self._open: list[Any] = []

    def _serve(self, client: Any, _address: Any) -> None:
        self.connections += 1
        server = gevent.socket.create_connection(self.target)
        self._open += [client, server]
        pumps = [
            gevent.spawn(self._pump, client, server, "cut_upstream_after"),
            gevent.spawn(self._pump, server, client, "cut_downstream_after"),
        ]
        gevent.joinall(pumps, count=1)
        for each in (client, server):
            each.close()
        gevent.killall(pumps)

    def _pump(self, source: Any, sink: Any, limit: str) -> None:
        try:
            while data := source.recv(self.piece):
                while self.is_silent:
                    gevent.sleep(0.01)
                left = getattr(self, limit)
                if left is not None:
                    if len(data) >= left:
                        setattr(self, limit, None)
                        sink.sendall(data[:left])
                        return
                    setattr(self, limit, left - len(data))
                if self.segments is None:
                    sink.sendall(data)
                else:
                    self._send_in_segments(sink, data, self.segments)
        except OSError:
            pass

    @staticmethod
    def _send_in_segments(sink: Any, data: bytes, draw: Random) -> None:
        # from single bytes to all that came at once; each is read before the next is there
        most = draw.choice((1, 7, 64, 100_000))
        while data:
            size = draw.randint(1, most)
            sink.sendall(data[:size])
            data = data[size:]
            gevent.sleep(0)
        gevent.sleep(draw.choice((0, 0.002)))  # what comes meanwhile is one read

    @property
    def is_done_cutting(self) -> bool:
        """Whether all cuts that were asked for have been made."""
        return self.cut_upstream_after is None and self.cut_downstream_after is None

    def cut(self) -> None:
        """Close all connections now."""
        for each in self._open:
            each.close()
        self._open.clear()

    @property
    def url(self) -> str:
        return f"nsq+direct://{self.address}"

    def close(self) -> None:
        self.cut()
        self._server.stop(timeout=0.1)
