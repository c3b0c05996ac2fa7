"""Settings of a bus, from the EVENTBUS_* environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from eventbus.errors import ConfigurationError


class BusSettings(BaseSettings):
    """Each field is read from EVENTBUS_ and its name in capitals; durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="EVENTBUS_", frozen=True, hide_input_in_errors=True)

    url: str = Field(default="memory://", repr=False)
    """Engine of the bus. The default needs nothing installed. Settings that are printed keep it to themselves, since it may
    hold a secret."""
    source: str | None = None
    """Name of the publishing service; None takes the program's."""
    codec: str = "msgpack"
    publish_timeout: float = Field(default=5.0, gt=0)
    """Longest wait for a confirmation: longer than a broker's restart takes, shorter than an HTTP client's patience."""
    message_timeout: float = Field(default=60.0, ge=1, le=900)
    """After this long without answer or touch a delivery goes to another worker; nsqd's default. Deliveries are touched at
    half of it, so it bounds recovery from a crash, not the time of a handler."""
    max_in_flight: int = Field(default=2000, ge=1)
    """Most deliveries held for each topic of a service: enough to keep a fast handler busy over the network. Slow handlers
    hold fewer, as many as they can begin soon; with fewer than their concurrency, not all of them run."""
    max_in_flight_bytes: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """Bytes of deliveries held by all services of the process together; one message each may come on top."""
    max_depth: int = Field(default=32, ge=1)
    """Events that may cause one another; past it they are parked, since services that answer each other never end."""
    max_dead: int = Field(default=100_000, ge=1)
    """Dead letters of a channel; past it one in a hundred is kept, and the others are counted."""
    max_dead_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """Bytes of all dead letters of a channel, by the mean of those that this process parked."""
    max_dead_unreadable: int = Field(default=1024 * 1024, ge=0)
    """Bytes in an hour that a process parks for a channel of what is no event, and so could never be replayed."""
    max_dead_age: float = Field(default=0.0, ge=0)
    """Seconds after which a dead letter goes, except for one in a hundred; with 0 all stay."""
    contracts: Literal["enforce", "warn", "off"] = "off"
    """Whether services and events must fit their published contracts to start and to be published."""
    contracts_from: str = Field(default="contracts", repr=False)
    """Folder, wheel or http(s) address of the contracts; not printed either."""
    sign: Literal["off", "write", "require"] = "off"
    """Whether what is published is signed, and whether what comes in must be. `write` signs and tells what `require` would
    park: the step between the two."""
    keys_file: str | None = Field(default=None, repr=False)
    """TOML file with the keys of this program and of those whom it believes."""
    log_errors: Literal["type", "full"] = "type"
    """Whether the log tells the texts of errors too. They may quote an event's data, so only types and places by default."""
    tracebacks: bool = False
    """Whether the log line of a failed handler carries its stack at every level, and not only at debug."""
    grace: float = Field(default=20.0, ge=0)
    """Time for running handlers at a stop; below the 30 s that orchestrators give by default."""

    @classmethod
    def from_environment(cls) -> BusSettings:
        """Return the settings that the environment gives.

        Raises:
            ConfigurationError: names the variable that is wrong.
        """
        try:
            return cls()
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            name = "EVENTBUS_" + "_".join(str(part) for part in fault["loc"]).upper()
            raise ConfigurationError(f"{name}: {fault['msg']}") from None
