"""Settings of the orders service, from the ORDERS_* environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url


class OrdersSettings(BaseSettings):
    """Each field is read from ORDERS_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="ORDERS_", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("sqlite:///orders.db")
    """Where orders and their outbox lie; a secret, since it may hold a password."""
    database_password_file: Path | None = None
    """File that holds the password for `database_url`, so that it stands in no environment and no URL."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    currencies: tuple[str, ...] = ("EUR", "USD", "GBP")
    """Currencies that are accepted."""
    max_body: int = Field(default=64 * 1024, ge=1024)
    """Longest request body in bytes: some hundred lines; more is no customer."""
    hosts: tuple[str, ...] = ()
    """Names in the DNS by which this API is called; a request for another name is refused. Addresses and names without a dot
    are always taken."""
    tokens: dict[str, SecretStr] = Field(default_factory=dict)
    """Clients and their tokens, as a JSON object: each request must then bring one as `Authorization: Bearer`. None given,
    as by default, means that whoever reaches the port may place and read orders."""
    per_address: int | None = Field(default=None, ge=1)
    """Most orders an hour for one mail address, by each process; more are answered by 429. No limit unless given."""
    per_client: int | None = Field(default=None, ge=1)
    """Most orders a minute from one client (its token, or its network address), by each process. No limit unless given."""
    receipt_timeout: float = Field(default=30.0, gt=0)
    """Seconds without a receipt from a subscriber after which an order is announced again to it."""
    sqlite_synchronous: str = "FULL"
    """SQLite's setting: FULL keeps an accepted order through a power cut, NORMAL only through a crash of the process."""

    def database(self) -> URL:
        """Return the database's URL with the password from its file.

        Raises:
            OSError: the file cannot be read.
        """
        url = make_url(self.database_url.get_secret_value())
        return (
            url if self.database_password_file is None else url.set(password=self.database_password_file.read_text().strip())
        )
