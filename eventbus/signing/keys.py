"""Keys: a file of them, each with what it may speak for.

The file is TOML: `sign_with` names the key of this program, and each `[keys.ID]` has an algorithm, what it signs or checks
with, and the names that it may use. A key without any right is of no use and refused.
"""

from __future__ import annotations

import base64
import tomllib
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from eventbus.errors import ConfigurationError
from eventbus.signing.algorithms import Algorithm, make_algorithm
from eventbus.wire.sealed import KEY_ID

_SHORTEST = 32
"""Bytes of a shared secret: as many as the hash has (RFC 2104, section 3)."""
_LARGEST_FILE = 1024 * 1024


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("is no base64") from None


_Base64 = Annotated[bytes | None, BeforeValidator(_bytes)]


class Key(BaseModel):
    """A key and its rights.

    Attributes:
        algorithm: `blake2b` (keyed, RFC 7693), `hmac-sha256` (RFC 2104) or `ed25519` (RFC 8032).
        secret: of the first two; whoever has it can sign as well as check.
        private, public: of ed25519, raw, 32 bytes; who only checks has the public one alone.
        sources: names of publishing services that it may speak for; `*` stands for any characters.
        topics: topics on which it may; all unless given.
        channels: channels whose receipts and copies it may sign.
        operator: whether it may replay and defer for any channel.
        not_after: the instant from which nothing that it signed is taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    algorithm: Literal["blake2b", "hmac-sha256", "ed25519"] = "blake2b"
    secret: _Base64 = Field(default=None, repr=False)
    private: _Base64 = Field(default=None, repr=False)
    public: _Base64 = None
    sources: tuple[str, ...] = ()
    topics: tuple[str, ...] = ("*",)
    channels: tuple[str, ...] = ()
    operator: bool = False
    not_after: datetime | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.algorithm == "ed25519":
            if self.secret is not None or (self.private is None and self.public is None):
                raise ValueError("ed25519 has private or public, or both, and no secret")
            if any(each is not None and len(each) != 32 for each in (self.private, self.public)):
                raise ValueError("ed25519: private and public are 32 bytes each")
        elif self.secret is None or self.private is not None or self.public is not None:
            raise ValueError(f"{self.algorithm} has a secret, and neither private nor public")
        elif not _SHORTEST <= len(self.secret) <= 64:
            raise ValueError(f"secret: {len(self.secret)} bytes; give {_SHORTEST} to 64 random ones")
        if not (self.sources or self.channels or self.operator):
            raise ValueError("may speak for nobody; give sources, channels or operator = true")
        if self.not_after is not None and self.not_after.tzinfo is None:
            raise ValueError("not_after has no time zone; write 2027-01-31T12:00:00Z")
        return self

    @property
    def can_sign(self) -> bool:
        """Whether it holds what signing needs."""
        return self.secret is not None or self.private is not None

    def may_publish(self, source: str, topic: str) -> bool:
        """Whether it may speak for a source on a topic."""
        return _fits_both(source, self.sources, topic, self.topics)

    def may_answer_for(self, channel: str, topic: str) -> bool:
        """Whether it may speak for a channel of a topic."""
        return _fits_both(channel, self.channels, topic, self.topics)

    def is_over(self, now: float) -> bool:
        """Whether it counts no more at `now`, in seconds since 1970."""
        return self.not_after is not None and now >= self.not_after.timestamp()


@lru_cache(maxsize=4096)
def _fits_both(name: str, names: tuple[str, ...], topic: str, topics: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, each) for each in names) and any(fnmatchcase(topic, each) for each in topics)


class Keyring:
    """The keys of a program.

    Attributes:
        keys: by id.
        sign_with: id of the one that this program signs with; None where it only checks.
    """

    def __init__(self, keys: dict[str, Key], sign_with: str | None) -> None:
        self.keys = keys
        self.sign_with = sign_with
        self.algorithms: dict[str, Algorithm] = {
            name: make_algorithm(key.algorithm, key.secret, key.private, key.public) for name, key in keys.items()
        }


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sign_with: str | None = None
    keys: dict[str, Key]


def read_keys(path: str | Path) -> Keyring:
    """Return the keys of a file.

    Raises:
        ConfigurationError: it cannot be read or says what it may not; names file and place, and shows no secret.
    """
    try:
        content = Path(path).read_bytes()
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError(f"keys file {path}: larger than {_LARGEST_FILE:,} bytes")
        tree: dict[str, Any] = tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigurationError(f"keys file {path}: {error.strerror}; EVENTBUS_KEYS_FILE names it") from None
    except ValueError as error:
        raise ConfigurationError(f"keys file {path}: no TOML: {error}") from None
    try:
        read = _File.model_validate(tree)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise ConfigurationError(f"keys file {path}: {place}: {fault['msg'].removeprefix('Value error, ')}") from None
    for name in read.keys:
        if KEY_ID.fullmatch(name) is None:
            raise ConfigurationError(f"keys file {path}: key {name[:80]!r}: ids have 1 to 64 letters, digits, '.', '_', '-'")
    mine = read.sign_with
    if mine is not None and (mine not in read.keys or not read.keys[mine].can_sign):
        raise ConfigurationError(f"keys file {path}: sign_with = {mine!r}: no key of that id here that can sign")
    if mine is not None and read.keys[mine].is_over(datetime.now(UTC).timestamp()):
        raise ConfigurationError(
            f"keys file {path}: sign_with = {mine!r}: it counts no more since {read.keys[mine].not_after}"
        )
    return Keyring(read.keys, mine)
