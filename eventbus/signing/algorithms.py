"""Algorithms: signatures over bytes. Which one a key has, its file says and never a message."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Protocol, Self

from eventbus.errors import ConfigurationError

_MOST_BEGUN = 1000


class Algorithm(Protocol):
    """Signs and checks with one key: what begins as `prefix` says, which is the same for many, and goes on with `data`."""

    def sign(self, prefix: bytes, data: bytes) -> bytes:
        """Return the signature of both."""
        ...

    def is_right(self, prefix: bytes, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is one of both by this key. Never raises."""
        ...


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> Self: ...


class _Keyed:
    """HMAC with SHA-256 (RFC 2104), or keyed BLAKE2b (RFC 7693, section 2.9): 32 bytes.

    To begin with a key costs as much as to hash an event, so what was begun with each prefix is kept.
    """

    def __init__(self, begin: Callable[[bytes], Any]) -> None:
        self._begin = begin
        self._begun: dict[bytes, _Hash] = {}

    def sign(self, prefix: bytes, data: bytes) -> bytes:
        begun = self._begun.get(prefix)
        if begun is None:
            if len(self._begun) >= _MOST_BEGUN:
                self._begun.clear()
            begun = self._begun[prefix] = self._begin(prefix)
        mine = begun.copy()
        mine.update(data)
        return mine.digest()

    def is_right(self, prefix: bytes, data: bytes, signature: bytes) -> bool:
        return compare_digest(self.sign(prefix, data), signature)


class _Ed25519:
    """Ed25519 (RFC 8032): 64 bytes. Who has the public key alone can check and not sign."""

    def __init__(self, private: bytes | None, public: bytes | None) -> None:
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
        except ImportError:
            raise ConfigurationError("ed25519 keys need the extra: pip install 'eventbus[signing]'") from None
        self._wrong = InvalidSignature
        self._private = None if private is None else Ed25519PrivateKey.from_private_bytes(private)
        own = None if self._private is None else self._private.public_key()
        if own is not None and public is not None and own.public_bytes_raw() != public:
            raise ConfigurationError("ed25519: public is not the public key of private")
        self._public = own or Ed25519PublicKey.from_public_bytes(public or b"")

    def sign(self, prefix: bytes, data: bytes) -> bytes:
        assert self._private is not None, "a key that can sign"
        return self._private.sign(prefix + data)

    def is_right(self, prefix: bytes, data: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, prefix + data)
        except self._wrong:
            return False
        return True


def make_algorithm(name: str, secret: bytes | None, private: bytes | None, public: bytes | None) -> Algorithm:
    """Return what signs and checks with a key.

    Raises:
        ConfigurationError: a library is missing, or the parts do not belong together.
    """
    if name == "ed25519":
        return _Ed25519(private, public)
    assert secret is not None, "checked when it was read"
    if name == "blake2b":
        return _Keyed(lambda prefix: blake2b(prefix, key=secret, digest_size=32))
    return _Keyed(lambda prefix: hmac.new(secret, prefix, "sha256"))
