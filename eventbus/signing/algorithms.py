"""Algorithms: signatures over bytes. Which one a key has, its file says and never a message."""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import Protocol

from eventbus.errors import ConfigurationError


class Algorithm(Protocol):
    """Signs and checks with one key."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`."""
        ...

    def is_right(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is one of `data` by this key. Never raises."""
        ...


class _Hmac:
    """HMAC with SHA-256 (RFC 2104): 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, data, "sha256")

    def is_right(self, data: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(self._secret, data, "sha256"), signature)


class _Blake2b:
    """Keyed BLAKE2b (RFC 7693, section 2.9): 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, data: bytes) -> bytes:
        return blake2b(data, key=self._secret, digest_size=32).digest()

    def is_right(self, data: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(blake2b(data, key=self._secret, digest_size=32).digest(), signature)


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

    def sign(self, data: bytes) -> bytes:
        assert self._private is not None, "a key that can sign"
        return self._private.sign(data)

    def is_right(self, data: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, data)
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
    return _Hmac(secret) if name == "hmac-sha256" else _Blake2b(secret)
