"""Signer: signs what goes out, and says of what comes in why it is not to be believed.

A signature covers the topic, so that an event cannot be carried to another one, and the envelope's bytes. What steers a
copy is signed by whoever made the copy, over the origin's signature: it cannot be put on another event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from eventbus.errors import DecodeError
from eventbus.runtime.guarded_log import guarded_log
from eventbus.signing.keys import Key, Keyring
from eventbus.wire.envelope import Envelope
from eventbus.wire.sealed import HEAD, Seal, Steer, read_seal, write_seal

log = guarded_log("eventbus.signing")

OVERHEAD = 512
"""Bytes kept free for a signature and what steers a copy."""
NOT_SIGNED, WRONG_KEY, NOT_ALLOWED = "not signed", "wrong key", "not allowed"
_EVENT, _STEER = b"eventbus-event-1\0", b"eventbus-steer-1\0"
_RECEIPTS = ".receipts"
_OF_CHANNELS = (_RECEIPTS, ".done", ".dead")
_SEALED = bytes([HEAD])
_SAY_EVERY = 60.0


class Signer:
    """Signs and judges with the keys of one program.

    Args:
        mode: `write` signs and tells what it would refuse; `require` refuses it.
        time: seconds since 1970.
        monotonic: seconds.

    Attributes:
        refused: how many deliveries were not believed, by reason.
    """

    def __init__(
        self,
        keyring: Keyring,
        mode: Literal["write", "require"],
        *,
        time: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.mode = mode
        self.refused: Counter[str] = Counter()
        self._keys, self._algorithms = keyring.keys, keyring.algorithms
        self._prefixes: dict[str, bytes] = {}
        self._time = time
        self._monotonic = monotonic
        self._mine = keyring.sign_with
        self._sign = None if self._mine is None else keyring.algorithms[self._mine].sign
        self._say_at = float("-inf")

    # -- what goes out ----------------------------------------------------------------------------------------------

    def seal(self, topic: str, body: bytes, *, is_copy: bool = False) -> bytes:
        """Return `body` signed for `topic`; what is signed keeps its signature, and gets one for what steers it.

        Args:
            is_copy: it is somebody else's event: where he did not sign it, neither do we.
        """
        if self._mine is None or self._sign is None:
            return body
        if body[:1] != _SEALED:
            if is_copy:
                return body
            return write_seal(Seal(self._mine, self._sign(self._of_event(topic), body), None, body))
        try:
            seal = read_seal(body)
        except DecodeError:
            return body  # somebody's bytes that are no message of ours
        steer = seal.steer
        if steer is None or steer.signature:
            return body
        signature = self._sign(*_of_steer(topic, seal, steer))
        return write_seal(Seal(seal.key, seal.signature, Steer(self._mine, signature, steer.said), seal.body))

    # -- what comes in ----------------------------------------------------------------------------------------------

    def refuses(self, topic: str, channel: str, envelope: Envelope) -> str | None:
        """Return why a delivery is parked unread; None where it is believed, or where its refusal is only told."""
        reason = self.doubt(topic, envelope)
        if reason is None:
            return None
        self.refused[reason.split(":", 1)[0]] += 1
        if self.mode == "require":
            return reason
        now = self._monotonic()
        if now >= self._say_at:
            self._say_at = now + _SAY_EVERY
            log.warning(
                "%s/%s: %r is %s; EVENTBUS_SIGN=require would park it (%d of that kind so far)",
                topic,
                channel,
                envelope,
                reason,
                self.refused[reason.split(":", 1)[0]],
            )
        return None

    def doubt(self, topic: str, envelope: Envelope) -> str | None:
        """Return what speaks against an envelope's proof; None where it is right."""
        seal = envelope.seal
        if seal is None:
            return NOT_SIGNED
        key = self._key(seal.key, self._of_event(topic), seal.body, seal.signature)
        if isinstance(key, str):
            return key
        if not _may_say(key, topic, envelope):
            return f"{NOT_ALLOWED}: key {seal.key} may not speak for {envelope.source} on {topic}"
        steer = seal.steer
        if steer is None:
            return None
        if not steer.signature:
            return f"{NOT_SIGNED}: what steers the copy"
        by = self._key(steer.key, *_of_steer(topic, seal, steer), steer.signature)
        if isinstance(by, str):
            return f"{by}: of what steers the copy"
        is_own = envelope.replay_for is not None and by.may_answer_for(envelope.replay_for, topic)
        if not (is_own or by.operator or by.may_publish(envelope.source, topic)):
            return f"{NOT_ALLOWED}: key {steer.key} may not steer copies for {envelope.replay_for}"
        return None

    def proof(self, topic: str, envelope: Envelope) -> str:
        """Return for people whose word an envelope is."""
        doubt = self.doubt(topic, envelope)
        if doubt is not None:
            return doubt
        return NOT_SIGNED if envelope.seal is None else f"signed by {envelope.seal.key}"

    def _of_event(self, topic: str) -> bytes:
        prefix = self._prefixes.get(topic)
        if prefix is None:
            prefix = self._prefixes[topic] = b"".join((_EVENT, topic.encode(), b"\0"))
        return prefix

    def _key(self, name: str, prefix: bytes, data: bytes, signature: bytes) -> Key | str:
        key = self._keys.get(name)
        if key is None:
            return f"{WRONG_KEY}: {name} is not known here"
        if key.not_after is not None and key.is_over(self._time()):
            return f"{WRONG_KEY}: {name} counts no more"
        if not self._algorithms[name].is_right(prefix, data, signature):
            return f"{WRONG_KEY}: it is not by {name}"
        return key


def _of_steer(topic: str, seal: Seal, steer: Steer) -> tuple[bytes, bytes]:
    return _STEER, b"".join((topic.encode(), b"\0", bytes([len(seal.signature)]), seal.signature, steer.said))


def _may_say(key: Key, topic: str, envelope: Envelope) -> bool:
    """Whether a key may say an event; what channels and operators say is not an event of a source."""
    if not topic.endswith(_OF_CHANNELS):
        return key.may_publish(envelope.source, topic)
    if topic.endswith(_RECEIPTS):
        return key.may_answer_for(_channel(envelope.data), topic.removesuffix(_RECEIPTS))
    of, _, channel = topic.rsplit(".", 1)[0].rpartition(".")
    return key.operator or key.may_answer_for(channel, of)


def _channel(data: Any) -> str:
    channel = data.get("channel") if type(data) is dict else None
    return channel if type(channel) is str else ""
