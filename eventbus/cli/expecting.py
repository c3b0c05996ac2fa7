"""Expecting: channels that outboxes wait for from the start, as `[tool.eventbus]` names them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from eventbus.errors import ConfigurationError, InvalidNameError
from eventbus.names import check_name
from eventbus.service import Service

_FORM = '[tool.eventbus] expect = { orders_placed = ["fulfillment"] }'


@runtime_checkable
class Expects(Protocol):
    """What can be told whom to wait for; `eventbus.sql.Outbox` is one."""

    @property
    def expected(self) -> dict[str, tuple[str, ...]]:
        """Channels by topic, as told so far."""
        ...

    def expect(self, topic: str, channels: Iterable[str]) -> None: ...


def expected_channels(path: Path = Path("pyproject.toml")) -> dict[str, list[str]]:
    """Return the channels by topic that `[tool.eventbus] expect` names in a file; none where there is no such file or key.

    Raises:
        ConfigurationError: it has another form, or a name that no topic or channel can have.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    section = found.get("tool", {}).get("eventbus", {})
    table = section.get("expect", {}) if isinstance(section, dict) else {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: [tool.eventbus] expect is no table; write {_FORM}")
    for topic, channels in table.items():
        if not isinstance(channels, list) or not all(isinstance(each, str) for each in channels):
            raise ConfigurationError(f"{path}: [tool.eventbus] expect.{topic} is no list of channels; write {_FORM}")
        try:
            check_name(topic, kind="topic")
            for each in channels:
                check_name(each, kind="channel")
        except InvalidNameError as error:
            raise ConfigurationError(f"{path}: [tool.eventbus] expect.{topic}: {error}") from None
    return table


def tell(services: Sequence[Service], expected: dict[str, list[str]]) -> None:
    """Tell each outbox of `services` whom it is to wait for; what the code says of a topic goes first."""
    parts: list[object] = [part for service in services for part in service.attachments]
    inboxes = [binding.inbox for service in services for binding in service.bindings if binding.inbox is not None]
    parts += [getattr(each, "outbox", None) for each in inboxes]
    for part in {id(each): each for each in parts if isinstance(each, Expects)}.values():
        for topic, channels in expected.items():
            if topic not in part.expected:
                part.expect(topic, channels)
