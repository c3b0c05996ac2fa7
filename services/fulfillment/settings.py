"""Settings of the fulfillment service, from the FULFILLMENT_* environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url


class FulfillmentSettings(BaseSettings):
    """Each field is read from FULFILLMENT_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("sqlite:///fulfillment.db")
    """Where stock and shipments lie; a secret, since it may hold a password."""
    database_password_file: Path | None = None
    """File that holds the password for `database_url`, so that it stands in no environment and no URL."""
    stock: dict[str, int] = Field(
        default_factory=lambda: {f"SKU-{number}": 1_000_000 for number in range(1, 21)} | {"SKU-13": 10}
    )
    """What an empty warehouse is filled with: a JSON object of quantities by SKU."""
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """Port of /healthz and /readyz; none unless given."""
    receipt_timeout: float = Field(default=30.0, gt=0)
    """Seconds without a receipt from a subscriber after which an event is published again to it."""
    concurrency: int = Field(default=16, ge=1)
    """Orders shipped at a time by one worker; each needs a database connection."""
    sqlite_synchronous: str = "FULL"
    """SQLite's setting: FULL keeps a shipment through a power cut, NORMAL only through a crash of the process."""

    def database(self) -> URL:
        """Return the database's URL with the password from its file.

        Raises:
            OSError: the file cannot be read.
        """
        url = make_url(self.database_url.get_secret_value())
        return (
            url if self.database_password_file is None else url.set(password=self.database_password_file.read_text().strip())
        )
