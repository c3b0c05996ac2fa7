"""The JSON form and the CloudEvents SDK of Python read each other."""

from __future__ import annotations

from datetime import UTC, datetime

from cloudevents.core.formats.json import JSONFormat

from eventbus.wire.codec import JsonCodec, decode
from eventbus.wire.envelope import Envelope


def test_the_json_form_is_read_by_the_cloudevents_sdk() -> None:
    body = JsonCodec().encode(Envelope("id-1", "orders", "OrderPlaced", "2026-01-31T12:00:00Z", {"a": 1}))
    from cloudevents.core.v1.event import CloudEvent

    event = JSONFormat().read(CloudEvent, body)
    assert (event.get_id(), event.get_source(), event.get_type()) == ("id-1", "orders", "OrderPlaced")
    assert event.get_data() == {"a": 1}


def test_the_json_form_of_the_cloudevents_sdk_is_read() -> None:
    from cloudevents.core.v1.event import CloudEvent

    event = CloudEvent(
        {"id": "id-2", "source": "shop", "type": "OrderPlaced", "specversion": "1.0", "time": datetime.now(UTC)}, {"a": 2}
    )
    read = decode(JSONFormat().write(event))
    assert (read.id, read.source, read.data) == ("id-2", "shop", {"a": 2})
