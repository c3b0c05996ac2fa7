"""Settings: what they show of themselves."""

from __future__ import annotations

import pytest

from eventbus import Bus, ConfigurationError
from eventbus.settings import BusSettings


@pytest.mark.parametrize(
    "url",
    ["nsq+direct://127.0.0.1:1?auth_secret=s3cr3t", "nsq+direct://127.0.0.1:1/s3cr3t", "nsq+direct://u:s3cr3t@127.0.0.1:1"],
)
def test_a_secret_in_the_url_is_printed_nowhere(url: str) -> None:
    settings = BusSettings(url=url, contracts_from="https://u:s3cr3t@127.0.0.1/contracts")
    assert "s3cr3t" not in f"{settings!r} {settings}"
    try:
        with Bus(settings=settings) as bus:
            assert "s3cr3t" not in f"{bus!r} {bus.engine!r} {bus.settings!r}"
    except ConfigurationError as error:
        assert "s3cr3t" not in f"{error!r} {error.__cause__!r}"
