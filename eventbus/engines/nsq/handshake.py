"""Handshake: from an address to a connection that both sides agree about.

TCP, magic, IDENTIFY, then TLS, compression and AUTH as asked, in nsqd's order. What was asked for and is not granted
ends the handshake: no secret is ever sent over a connection that should have been encrypted. Blocks its greenlet,
each step within the time limit.
"""

from __future__ import annotations

import json
import socket as stdlib_socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
import gevent.socket
from gnsq import protocol

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.frames import (
    ERROR,
    HEARTBEAT,
    OK,
    RESPONSE,
    FrameBuffer,
    ProtocolError,
    ServerError,
    read_error,
)
from eventbus.engines.nsq.layers import DeflateLayer, Layer, SnappyLayer, TlsLayer, tls_context
from eventbus.engines.nsq.options import NsqOptions
from eventbus.errors import EventBusError
from eventbus.version import __version__

_OUTPUT_BUFFER = 32 * 1024
_OUTPUT_TIMEOUT_MS = 25  # nsqd refuses less


class FeatureRefusedError(EventBusError):
    """Raised when nsqd does not grant what the options ask for: TLS, compression, authentication."""


@dataclass(frozen=True, slots=True)
class Features:
    """What nsqd agreed to. Seconds.

    Attributes:
        message_timeout: after which it gives an unanswered delivery to another client.
        max_rdy: largest RDY that it takes.
        heartbeat: between two of its heartbeats.
        version: nsqd's.
        max_message_timeout: longest time that touching can hold a delivery.
    """

    message_timeout: float
    max_rdy: int
    heartbeat: float
    version: str
    max_message_timeout: float = 900.0


@dataclass(slots=True)
class Session:
    """A connection after its handshake: socket, layers from the socket inwards, frames in the making, features."""

    address: Address
    socket: Any
    layers: list[Layer]
    frames: FrameBuffer[Any]
    features: Features


def open_session(
    address: Address,
    options: NsqOptions,
    make_message: Callable[[int, int, bytes, bytes], Any],
    *,
    message_timeout: float | None = None,
) -> Session:
    """Connect and shake hands.

    Raises:
        OSError: no connection, or it broke; ssl.SSLError for a certificate that is not trusted.
        ServerError, ProtocolError, FeatureRefusedError: as they say.
        gevent.Timeout: never; a step that takes too long is a TimeoutError.
    """
    connection = gevent.socket.create_connection(address, timeout=options.connect_timeout)
    try:
        connection.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        connection.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE, 1)
        shaking = _Handshake(address, connection, options, make_message)
        return shaking.run(message_timeout)
    except BaseException:
        connection.close()
        raise


class _Handshake:
    def __init__(
        self, address: Address, connection: Any, options: NsqOptions, make_message: Callable[[int, int, bytes, bytes], Any]
    ) -> None:
        self._address = address
        self._socket = connection
        self._options = options
        self._layers: list[Layer] = []
        self._frames: FrameBuffer[Any] = FrameBuffer(make_message, options.max_message_bytes + 64 * 1024)

    def run(self, message_timeout: float | None) -> Session:
        options = self._options
        self._send(protocol.MAGIC_V2 + protocol.identify(self._identity(message_timeout)))
        granted = self._read_identity()
        if options.tls:
            if not granted.get("tls_v1"):
                raise FeatureRefusedError(f"nsqd {self._address} offers no TLS, and tls=true asks for it; nothing was sent")
            self._start_tls()
        if options.compression != "none":
            self._start_compression(granted)
        if granted.get("auth_required"):
            self._authenticate()
        return Session(
            address=self._address,
            socket=self._socket,
            layers=self._layers,
            frames=self._frames,
            features=Features(
                message_timeout=float(granted.get("msg_timeout") or 60_000) / 1000,
                max_rdy=int(granted.get("max_rdy_count") or 2500),
                heartbeat=options.heartbeat,
                version=str(granted.get("version", "unknown")),
                max_message_timeout=float(granted.get("max_msg_timeout") or 900_000) / 1000,
            ),
        )

    def _identity(self, message_timeout: float | None) -> dict[str, Any]:
        options = self._options
        host = stdlib_socket.gethostname()
        identity: dict[str, Any] = {
            "client_id": options.client_id or host.split(".")[0],
            "hostname": host,
            "user_agent": f"eventbus/{__version__}",
            "feature_negotiation": True,
            "heartbeat_interval": int(options.heartbeat * 1000),
            "output_buffer_size": _OUTPUT_BUFFER,
            "output_buffer_timeout": _OUTPUT_TIMEOUT_MS,
            "tls_v1": options.tls,
            "snappy": options.compression == "snappy",
            "deflate": options.compression == "deflate",
            "deflate_level": options.deflate_level,
        }
        if message_timeout is not None:
            identity["msg_timeout"] = int(message_timeout * 1000)
            identity["sample_rate"] = options.sample_rate
        if options.region:
            identity["topology_region"] = options.region
        if options.zone:
            identity["topology_zone"] = options.zone
        return identity

    def _read_identity(self) -> dict[str, Any]:
        data = self._answer()
        if data == OK:
            return {}
        try:
            granted = json.loads(data)
        except ValueError:
            raise ProtocolError(f"nsqd {self._address} answers IDENTIFY with no JSON: is this an nsqd?") from None
        if not isinstance(granted, dict):
            raise ProtocolError(f"nsqd {self._address} answers IDENTIFY with no JSON object: is this an nsqd?")
        return granted

    def _start_tls(self) -> None:
        layer = TlsLayer(tls_context(self._options), self._options.tls_server_name or self._address.host)
        done, out = layer.handshake(self._frames.take_rest())
        while True:
            if out:
                self._socket.sendall(out)
            if done:
                break
            data = self._socket.recv(65536)
            if not data:
                raise ssl.SSLError(f"nsqd {self._address} closed the connection in the TLS handshake")
            done, out = layer.handshake(data)
        self._layers.insert(0, layer)
        self._frames.feed(layer.decode(b""))
        self._expect_ok("TLS")

    def _start_compression(self, granted: dict[str, Any]) -> None:
        name = self._options.compression
        if not granted.get(name):
            raise FeatureRefusedError(
                f"nsqd {self._address} offers no {name}; start it with --{name} or take compression=none"
            )
        layer = SnappyLayer() if name == "snappy" else DeflateLayer(self._options.deflate_level)
        self._layers.append(layer)
        # nsqd compresses at once: what came in the same read as the answer before is compressed already
        if early := self._frames.take_rest():
            self._frames.feed(layer.decode(early))
        self._expect_ok(name)

    def _authenticate(self) -> None:
        if self._options.auth_secret is None:
            raise FeatureRefusedError(f"nsqd {self._address} asks for authentication; give auth_secret")
        self._send(protocol.auth(self._options.auth_secret.get_secret_value().encode()))
        self._answer()

    def _expect_ok(self, step: str) -> None:
        if (data := self._answer()) != OK:
            raise ProtocolError(f"nsqd {self._address} answers {step} with {data[:40]!r}")

    def _send(self, data: bytes) -> None:
        for layer in reversed(self._layers):
            data = layer.encode(data)
        self._socket.sendall(data)

    def _answer(self) -> bytes:
        """Return the data of the next answer; heartbeats on the way are answered."""
        while True:
            while (frame := self._frames.take_one()) is not None:
                kind, data = frame
                if kind == ERROR:
                    raise read_error(data)
                if data == HEARTBEAT:
                    self._send(protocol.nop())
                elif kind == RESPONSE:
                    return data
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError(f"nsqd {self._address} closed the connection in the handshake")
            for layer in self._layers:
                data = layer.decode(data)
            self._frames.feed(data)


def describe(error: BaseException) -> str:
    """Return an error as one line for logs."""
    if isinstance(error, ServerError):
        return f"nsqd says {error}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
