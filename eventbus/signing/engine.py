"""SigningEngine: an engine whose messages are signed. Whatever a program publishes passes here, whichever part does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventbus.engines.base import Engine
from eventbus.errors import ConfigurationError
from eventbus.settings import BusSettings
from eventbus.signing.keys import read_keys
from eventbus.signing.signer import OVERHEAD, Signer


class SigningEngine:
    """Signs what is published; all else is the inner engine's.

    Attributes:
        signer: signs, and judges what is delivered.
    """

    def __init__(self, inner: Engine, signer: Signer, *, are_copies: bool = False) -> None:
        self.signer = signer
        self.inner = inner
        self.max_message_bytes = inner.max_message_bytes - OVERHEAD
        self._are_copies = are_copies

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        """As `Engine.publish`."""
        self.inner.publish(topic, self.signer.seal(topic, body, is_copy=self._are_copies), delay=delay, timeout=timeout)

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        """As `Engine.publish_many`."""
        seal, are_copies = self.signer.seal, self._are_copies
        self.inner.publish_many(topic, [seal(topic, body, is_copy=are_copies) for body in bodies], timeout=timeout)


def signer_of(engine: Engine) -> Signer | None:
    """Return what judges the deliveries of an engine; None where nothing is signed."""
    return engine.signer if isinstance(engine, SigningEngine) else None


def for_copies(engine: Engine) -> Engine:
    """Return the engine for copies of events of others: it signs what steers them, and never the events."""
    if not isinstance(engine, SigningEngine):
        return engine
    made: Any = SigningEngine(engine.inner, engine.signer, are_copies=True)
    copies: Engine = made
    return copies


def signing(engine: Engine, settings: BusSettings) -> Engine:
    """Return `engine`, or one that signs, as the settings say.

    Raises:
        ConfigurationError: keys are needed and cannot be had.
    """
    if settings.sign == "off":
        return engine
    if settings.keys_file is None:
        raise ConfigurationError(f"EVENTBUS_SIGN={settings.sign} needs keys; name their file in EVENTBUS_KEYS_FILE")
    keyring = read_keys(settings.keys_file)
    if settings.sign == "write" and keyring.sign_with is None:
        raise ConfigurationError(
            f"keys file {settings.keys_file}: EVENTBUS_SIGN=write needs sign_with, the id of the key of this program"
        )
    signer = Signer(keyring, settings.sign, time=engine.clock.time, monotonic=engine.clock.monotonic)
    made: Any = SigningEngine(engine, signer)
    signs: Engine = made
    return signs
