"""Settings of the email confirmation service, from the EMAIL_* environment."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url


class EmailSettings(BaseSettings):
    """Each field is read from EMAIL_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="EMAIL_", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("sqlite:///email_confirmation.db")
    """Where claims, jobs and sent mails are noted; a secret, since it may hold a password."""
    database_password_file: Path | None = None
    """File that holds the password for `database_url`, so that it stands in no environment and no URL."""
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=1025, ge=1, le=65535)
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    """starttls (as on port 587) or TLS from the first byte (465). The server's certificate is verified, and a server that
    offers no TLS is refused. Without TLS there is no login, except on this machine."""
    smtp_ca_file: str | None = None
    """Certificates to trust instead of the system's."""
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout: float = Field(default=10.0, gt=0)
    """Longest wait for an answer of the mail server in seconds."""
    sender: str = "shop@example.org"
    orders_url: str = "http://127.0.0.1:8000"
    """Where the orders service answers."""
    public_url: str | None = None
    """What links in mails point to; the same unless given."""
    orders_token: SecretStr | None = None
    """What the orders service wants as a bearer token, where it wants one."""
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """Port of /healthz and /readyz; none unless given."""
    receipt_timeout: float = Field(default=30.0, gt=0)
    """Seconds without a receipt from a subscriber after which an event is published again to it."""
    concurrency: int = Field(default=8, ge=1)
    """Mails sent at a time by one worker; each needs a database connection and one to the mail server."""
    sqlite_synchronous: str = "FULL"
    """SQLite's setting: FULL keeps what was sent through a power cut, NORMAL only through a crash of the process."""

    def database(self) -> URL:
        """Return the database's URL with the password from its file.

        Raises:
            OSError: the file cannot be read.
        """
        url = make_url(self.database_url.get_secret_value())
        return (
            url if self.database_password_file is None else url.set(password=self.database_password_file.read_text().strip())
        )

    @model_validator(mode="after")
    def _keeps_the_password_secret(self) -> Self:
        if self.smtp_user and self.smtp_security == "none" and not _is_this_machine(self.smtp_host):
            raise ValueError("a login would go over the network in clear; give smtp_security starttls or tls")
        return self


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
