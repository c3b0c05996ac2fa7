"""Handshake: from an address to a connection that both sides agree about.

TCP, magic, IDENTIFY, then TLS, compression and AUTH as asked, in nsqd's order. What was asked for and is not granted
ends the handshake: no secret is ever sent over a connection that should have been encrypted. Blocks its greenlet, each step
within the time limit, and all of them together within twice as much.

Each answer is cut out of the stream alone, and what came behind it is handed to the layer that the answer switched on:
nsqd sends the answer to IDENTIFY in plain and at once the compressed OK, and both may come in one read.
"""

from __future__ import annotations

import json
import socket as stdlib_socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any

import gevent
from gnsq import protocol

from eventbus.engines.nsq.addresses import Address, peer_of
from eventbus.engines.nsq.dialing import dial
from eventbus.engines.nsq.frames import (
    ERROR,
    HEARTBEAT,
    OK,
    RESPONSE,
    FrameBuffer,
    ProtocolError,
    ServerError,
    check_head,
    read_error,
)
from eventbus.engines.nsq.identity import NSQD_HEARTBEAT, WISHES, identity
from eventbus.engines.nsq.layers import DeflateLayer, Layer, SnappyLayer, TlsLayer, tls_context
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.schema import Identified, fit, peer_text
from eventbus.errors import EventBusError
from eventbus.runtime.loopback import is_loopback

_MAX_ANSWER = 4 * 1024 * 1024
_head = Struct(">ii").unpack_from


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
    """A connection after its handshake: socket, layers from the socket inwards, frames in the making, features.

    Attributes:
        peer: who is at the other end; the same for all names of one nsqd.
    """

    address: Address
    socket: Any
    layers: list[Layer]
    frames: FrameBuffer[Any]
    features: Features
    peer: object


def open_session(
    address: Address,
    options: NsqOptions,
    make_message: Callable[[int, int, bytes, bytes], Any],
    make_cut: Callable[[int, int, bytes, bytes, int], Any] | None = None,
    *,
    message_timeout: float | None = None,
    client: str = "",
    is_given: bool = False,
) -> Session:
    """Connect and shake hands; where nsqd refuses a wish of ours, again without that wish.

    Args:
        make_message: makes a delivery of a message frame.
        make_cut: makes one of the head of a message that is too long to be read, with its length.
        message_timeout: seconds; None for a connection that does not subscribe.
        client: who connects, for people who look at nsqd; the host's name unless given.
        is_given: whether somebody who runs this program gave the address, and not nsqlookupd.

    Raises:
        OSError: no connection, or it broke; ssl.SSLError for a certificate that is not trusted.
        ServerError, ProtocolError, FeatureRefusedError, ConfigurationError: as they say.
        gevent.Timeout: never; what takes too long is a TimeoutError.
    """
    refused: set[str] = set()
    while True:
        limit = 2 * options.connect_timeout
        connection: Any = None
        try:
            with gevent.Timeout(limit, TimeoutError(f"connecting and the handshake took longer than {limit:g} s")):
                connection = dial(address, timeout=options.connect_timeout)
                connection.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
                connection.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE, 1)
                shaking = _Handshake(address, connection, options, refused, is_given=is_given)
                return shaking.run(message_timeout, client, make_message, make_cut)
        except ServerError as error:
            connection.close()
            wish = next((field for words, field in WISHES.items() if words in error.text), None)
            if error.code != "E_BAD_BODY" or wish is None or wish in refused:
                raise
            refused.add(wish)
        except BaseException:
            if connection is not None:
                connection.close()
            raise


class _Handshake:
    def __init__(self, address: Address, connection: Any, options: NsqOptions, refused: set[str], *, is_given: bool) -> None:
        self._address = address
        self._socket = connection
        self._options = options
        self._refused = refused
        self._is_given = is_given
        self._layers: list[Layer] = []
        self._input = bytearray()
        """What came and was not taken yet, as the layers so far understand it."""

    def run(
        self,
        message_timeout: float | None,
        client: str,
        make_message: Callable[[int, int, bytes, bytes], Any],
        make_cut: Callable[[int, int, bytes, bytes, int], Any] | None,
    ) -> Session:
        options = self._options
        wishes = identity(options, message_timeout, client=client, without=self._refused)
        self._send(protocol.MAGIC_V2 + protocol.identify(wishes))
        granted = self._read_identity()
        if options.tls:
            if not granted.tls_v1:
                raise FeatureRefusedError(f"nsqd {self._address} offers no TLS, and tls=true asks for it; nothing was sent")
            self._start_tls()
        if options.compression != "none":
            self._start_compression(granted)
        if granted.auth_required:
            self._authenticate()
        frames: FrameBuffer[Any] = FrameBuffer(make_message, options.max_read_bytes + 64 * 1024, make_cut)
        frames.feed(bytes(self._input))
        return Session(
            address=self._address,
            socket=self._socket,
            layers=self._layers,
            frames=frames,
            features=Features(
                message_timeout=granted.msg_timeout / 1000,
                max_rdy=granted.max_rdy_count,
                heartbeat=NSQD_HEARTBEAT if "heartbeat_interval" in self._refused else options.heartbeat,
                version=granted.version,
                max_message_timeout=granted.max_msg_timeout / 1000,
            ),
            peer=peer_of(self._socket.getpeername()),
        )

    def _read_identity(self) -> Identified:
        data = self._answer()
        if data == OK:
            return Identified()
        said: object = "no JSON object"
        try:
            tree = json.loads(data)
            if isinstance(tree, dict):
                return fit(tree, Identified)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            said = "no JSON"
        except ValueError as error:
            said = error
        raise ProtocolError(f"nsqd {self._address} answers IDENTIFY with {said}: is this an nsqd?") from None

    def _start_tls(self) -> None:
        layer = TlsLayer(tls_context(self._options), self._options.tls_server_name or self._address.host)
        came, self._input = bytes(self._input), bytearray()
        done, out = layer.handshake(came)
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
        self._input += layer.decode(b"")
        self._expect_ok("TLS")

    def _start_compression(self, granted: Identified) -> None:
        name = self._options.compression
        if not getattr(granted, name):
            raise FeatureRefusedError(
                f"nsqd {self._address} offers no {name}; start it with --{name} or take compression=none"
            )
        layer = SnappyLayer() if name == "snappy" else DeflateLayer(self._options.deflate_level)
        self._layers.append(layer)
        if self._input:
            self._input = bytearray(layer.decode(bytes(self._input)))
        self._expect_ok(name)

    def _authenticate(self) -> None:
        options, address = self._options, self._address
        if options.auth_secret is None:
            raise FeatureRefusedError(f"nsqd {address} asks for authentication; give auth_secret")
        if not (options.tls or options.auth_insecure or (self._is_given and is_loopback(address.host))):
            raise FeatureRefusedError(
                f"nsqd {address} asks for the secret over a connection without TLS, and nothing proves who it is; "
                f"use tls=true, or auth_insecure=true where the whole network is trusted"
            )
        self._send(protocol.auth(options.auth_secret.get_secret_value().encode()))
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
            kind, data = self._frame()
            if kind == ERROR:
                raise read_error(data)
            if data == HEARTBEAT:
                self._send(protocol.nop())
            elif kind == RESPONSE:
                return data

    def _frame(self) -> tuple[int, bytes]:
        """Take exactly one frame out of what came."""
        received = self._input
        while True:
            if len(received) >= 8:
                size, kind = _head(received)
                check_head(bytes(received[:4]), size, kind, _MAX_ANSWER)
                if len(received) >= 4 + size:
                    data = bytes(received[8 : 4 + size])
                    del received[: 4 + size]
                    return kind, data
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError(f"nsqd {self._address} closed the connection in the handshake")
            for layer in self._layers:
                data = layer.decode(data)
            received += data


def describe(error: BaseException) -> str:
    """Return an error as one line for logs."""
    if isinstance(error, ServerError):
        return f"nsqd says {peer_text(error)}"
    said = peer_text(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
