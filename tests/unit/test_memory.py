"""The memory engine's own options."""

from __future__ import annotations

import pytest

from eventbus import Bus, NotSent
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers


def test_a_full_channel_refuses_at_once_where_the_url_says_so_and_drops_nothing() -> None:
    kind = numbered()
    service = listener(kind, Seen())
    with Bus("memory://?max_depth=10&when_full=raise") as bus:
        bus.declare(service)
        publish_numbers(bus, kind, range(10))
        with pytest.raises(NotSent, match="nobody has taken"):
            bus.publish(kind(number=10))
        assert bus.engine.stats()[service.topics[0]].channels[service.channel].depth == 10
