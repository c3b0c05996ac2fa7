"""Layers between frames and the socket: TLS, deflate and snappy, without I/O. Bytes in, bytes out, both ways.

Each layer has `decode` for what comes in and `encode` for what goes out. A stack applies them in order: TLS next to
the socket, compression inside it.
"""

from __future__ import annotations

import ssl
import zlib
from typing import Protocol

from eventbus.engines.nsq.options import NsqOptions
from eventbus.errors import ConfigurationError

_MAX_INFLATED = 64 * 1024 * 1024
"""Bytes that one read may decompress to: more is a bomb."""


class Layer(Protocol):
    def decode(self, data: bytes) -> bytes:
        """Return what `data` from the peer means; may be empty."""
        ...

    def encode(self, data: bytes) -> bytes:
        """Return what must be sent for `data`."""
        ...


class DeflateLayer:
    """Raw deflate, flushed after each write."""

    def __init__(self, level: int) -> None:
        self._in = zlib.decompressobj(-zlib.MAX_WBITS)
        self._out = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)

    def decode(self, data: bytes) -> bytes:
        inflated = self._in.decompress(data, _MAX_INFLATED)
        if self._in.unconsumed_tail:
            raise OSError(f"compressed data grow beyond {_MAX_INFLATED:,} bytes")
        return inflated

    def encode(self, data: bytes) -> bytes:
        return self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH)


class SnappyLayer:
    """Snappy's framing format; needs the extra `eventbus[snappy]`."""

    def __init__(self) -> None:
        try:
            import snappy
        except ImportError:
            raise ConfigurationError("compression=snappy needs its library: pip install 'eventbus[snappy]'") from None
        self._in = snappy.StreamDecompressor()
        self._out = snappy.StreamCompressor()

    def decode(self, data: bytes) -> bytes:
        inflated: bytes = self._in.decompress(data)
        return inflated

    def encode(self, data: bytes) -> bytes:
        deflated: bytes = self._out.add_chunk(data, compress=True)
        return deflated


class TlsLayer:
    """TLS 1.2 or later over memory buffers; `handshake` is repeated until it is done."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)

    @property
    def certificate_ends(self) -> float | None:
        """When the peer's certificate ends, in seconds since 1970; None where it was not verified."""
        certificate = self._tls.getpeercert()
        ends = certificate.get("notAfter") if certificate else None
        return ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None

    def handshake(self, data: bytes) -> tuple[bool, bytes]:
        """Take the peer's bytes; return whether the handshake is done, and what must be sent.

        Raises:
            ssl.SSLError: when it fails; SSLCertVerificationError for a certificate that is not trusted or not the host's.
        """
        self._in.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._out.read()
        return True, self._out.read()

    def decode(self, data: bytes) -> bytes:
        self._in.write(data)
        parts: list[bytes] = []
        while True:
            try:
                part = self._tls.read(65536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)

    def encode(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._out.read()


class _Encrypted(Exception):  # noqa: N818 - a signal between two functions
    """The key asks for a password."""


def _no_password() -> str:
    raise _Encrypted


def tls_context(options: NsqOptions) -> ssl.SSLContext:
    """Return the context that the options ask for; certificates and host names are checked unless that is turned off.

    Nobody is ever asked for a password on the terminal: the whole hub would wait for the answer.

    Raises:
        ConfigurationError: when a file cannot be used; names it.
    """
    what = f"tls_ca {options.tls_ca}"
    try:
        context = ssl.create_default_context(cafile=options.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not options.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if options.tls_cert and options.tls_key:
            what = f"tls_cert {options.tls_cert} with tls_key {options.tls_key}"
            context.load_cert_chain(options.tls_cert, options.tls_key, password=_no_password)
    except _Encrypted:
        raise ConfigurationError(
            f"TLS files: tls_key {options.tls_key} is encrypted (OpenSSL said that it wants a password), and a service has "
            f"nobody to ask; give a key that is not, readable by the service alone"
        ) from None
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"TLS files: {what} cannot be used: {error}") from None
    return context


def check_layers(options: NsqOptions) -> None:
    """Return if the layers that the options ask for can be made here, at this moment.

    Raises:
        ConfigurationError: a file cannot be used, or a library is missing.
    """
    if options.tls or options.lookup_https:
        tls_context(options)
    if options.compression == "snappy":
        SnappyLayer()
