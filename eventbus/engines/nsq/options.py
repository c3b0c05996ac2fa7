"""Options of the NSQ engine: from the query of its URL, or from EVENTBUS_NSQ_* in the environment."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from eventbus.engines.nsq.addresses import Address, parse_addresses
from eventbus.errors import ConfigurationError

TCP_PORT = 4150
HTTP_PORT = 4151
MOST_CLIENT_ID = 255
"""Characters of a client id."""


def _addresses(default_port: int) -> BeforeValidator:
    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_addresses(value, default_port=default_port)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(read)


def _words(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class NsqOptions(BaseSettings):
    """Each field is an option of the URL, and of the environment as EVENTBUS_NSQ_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="EVENTBUS_NSQ_", frozen=True, extra="forbid", hide_input_in_errors=True)

    publish: Annotated[tuple[Address, ...], NoDecode, _addresses(TCP_PORT)] = ()
    """nsqd to publish to, the nearest first; those that nsqlookupd knows, or the direct ones, unless given."""
    http: Annotated[tuple[Address, ...], NoDecode, _addresses(HTTP_PORT)] = ()
    """HTTP addresses of direct nsqd, for statistics and declaring; the TCP port plus one unless given."""

    max_in_flight: int | None = Field(default=None, ge=1)
    max_in_flight_bytes: int | None = Field(default=None, ge=64 * 1024)
    message_timeout: float | None = Field(default=None, ge=1)
    """These override the bus's own settings."""
    lookup_interval: float = Field(default=15.0, gt=0)
    """Between two questions to nsqlookupd. Other clients take 60: a new nsqd is unseen for as long."""
    connect_timeout: float = Field(default=2.0, gt=0)
    """For resolving and connecting together, for each step of the handshake, and for a whole answer over HTTP."""
    heartbeat: float = Field(default=5.0, ge=1, le=60)
    """Between two heartbeats that nsqd sends; 2.5 of them without a sign and the peer counts as dead."""
    reconnect_ceiling: float = Field(default=15.0, gt=0)
    """Longest pause between attempts to reconnect; they never end while the address is listed."""
    copies: int = Field(default=1, ge=1, le=8)
    """Distinct nsqd that must confirm each publish."""
    retry_unknown: bool = True
    """Publish again, with the same event id, what was sent and not answered."""
    max_message_bytes: int = Field(default=1024 * 1024, ge=1024)
    """nsqd's --max-msg-size, which it does not tell its clients."""
    max_read_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Longest message of another program that is read whole to be parked; of a longer one only the head is kept."""
    max_body_bytes: int = Field(default=5 * 1024 * 1024, ge=1024)
    """nsqd's --max-body-size, for a batch of messages."""
    max_pending_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """What may wait for one nsqd's answer before publishers wait too."""
    max_delay: float = Field(default=3600.0, gt=0)
    """nsqd's --max-req-timeout, which it does not tell its clients."""

    tls: bool = False
    tls_ca: str | None = None
    """File of certificates to trust; the system's unless given."""
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_server_name: str | None = None
    """Name in the server's certificate, where it is not the host's."""
    tls_verify: bool = True
    lookup_https: bool = False
    """Ask nsqlookupd by HTTPS alone, which a proxy before it speaks; `tls_*` say whom to trust."""
    auth_secret: SecretStr | None = None
    auth_insecure: bool = False
    """Send the secret without TLS too, to whatever host; otherwise only to a loopback address that is given here."""
    nodes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Names (`*.name` for all below), addresses or networks of the nsqd that nsqlookupd may list; all unless given."""
    compression: Literal["none", "deflate", "snappy"] = "none"
    deflate_level: int = Field(default=6, ge=1, le=9)
    region: str | None = Field(default=None, max_length=64)
    zone: str | None = Field(default=None, max_length=64)
    """Where this client runs, for nsqd's topology-aware consumption."""
    sample_rate: int = Field(default=0, ge=0, le=99)
    """Share of messages in per cent that a consumer gets; 0 for all."""
    client_id: str | None = Field(default=None, max_length=MOST_CLIENT_ID)
    """Of all connections; a subscription has the name of its service and instance unless this is given."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together")
        if not (self.tls or self.lookup_https) and (self.tls_ca or self.tls_cert or self.tls_server_name):
            raise ValueError("tls_* is given, but neither tls=true nor lookup_https=true")
        return self
