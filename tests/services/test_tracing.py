"""One trace from the HTTP request to the mail: three services, each with a bus of its own on a real nsqd, and a real SMTP
server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from eventbus import Bus, Context, Event, Reject, Retry, Service
from eventbus.middleware import Middleware
from eventbus.observe import Tracing
from eventbus.testing import Harness
from tests.nsqd import Nsqd
from tests.services.smtp import MailServer
from tests.waiting import PATIENCE, eventually


class Spans:
    """What was exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


def test_one_trace_from_the_http_request_to_the_mail(tmp_path: Path) -> None:
    nsqd, smtp = Nsqd(), MailServer()
    try:
        done = gevent.get_hub().threadpool.apply(
            partial(subprocess.run, capture_output=True, text=True, timeout=PATIENCE),
            ([sys.executable, "-m", "tests.services.traced_shop", nsqd.url, str(smtp.port), str(tmp_path)],),
        )
        assert done.returncode == 0, done.stderr
        assert len(smtp.mails) == 2
    finally:
        smtp.close()
        nsqd.end()
    spans: list[dict[str, Any]] = json.loads(done.stdout)
    trace = [span for span in spans if span["context"]["trace_id"] == "0x0af7651916cd43dd8448eb211c80319c"]
    by_id = {span["context"]["span_id"]: span for span in trace}
    services = {span["resource"]["attributes"]["service.name"] for span in trace}
    assert services == {"orders", "fulfillment", "email_confirmation"}

    def way_up(span: dict[str, Any]) -> list[str]:
        names = [span["name"]]
        while span["parent_id"] in by_id:
            span = by_id[span["parent_id"]]
            names.append(span["name"])
        assert span["parent_id"] == "0xb7ad6b7169203331", "the root is the client's span"
        return names

    ways = [way_up(span) for span in trace if span["name"] == "process email"]
    order = ["process orders_placed", "send orders_placed", "create orders_placed", "POST /orders"]
    mail = ["process email", "send email", "create email"]
    assert sorted(ways, key=len) == [
        [*mail, *order],
        [*mail, "process orders_shipped", "send orders_shipped", "create orders_shipped", *order],
    ]
    # the mail of the shipping asks the orders service, within the same trace
    (asked,) = [span for span in trace if span["name"] == "GET /orders/<order_id>"]
    assert way_up(asked)[1] == "process orders_shipped"
    (sent,) = [span for span in trace if span["name"] == "send orders_placed"]
    identity = sent["attributes"]["messaging.message.id"]
    assert sent["kind"] == "SpanKind.PRODUCER"
    assert sent["attributes"] == {
        "messaging.system": "nsq",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders_placed",
        "messaging.message.id": identity,
        "messaging.message.conversation_id": identity,
        "eventbus.event.type": "OrderPlaced",
    }
    assert "canary" not in done.stdout


class Asked(Event, topic="asked", version=1):
    text: str


def test_a_handling_tells_channel_attempt_and_kind_of_error_but_no_data(spans: Spans) -> None:
    service = Service("answerer")
    seen: list[Context] = []

    @service.on(Asked, retry=Retry(attempts=5, first=0.1))
    def answer(event: Asked, context: Context) -> None:
        seen.append(context)
        if context.attempt == 1:
            raise ValueError(f"cannot read {event.text}")
        raise Reject("never")

    with Harness(middleware=[Tracing(spans.provider)]) as harness:
        harness.start(service)
        harness.publish(Asked(text="canary"))
        with harness.expecting(ValueError):
            harness.settle()
    first, second = spans.named("process asked")
    sent = spans.named("send asked")[0]
    assert sent.context is not None
    for number, span in enumerate((first, second), start=1):
        assert span.kind is SpanKind.CONSUMER
        assert span.parent is not None
        assert span.parent.span_id == sent.context.span_id
        assert [link.context.span_id for link in span.links] == [sent.context.span_id]
        attributes = dict(span.attributes or {})
        assert attributes["messaging.consumer.group.name"] == "answerer"
        assert attributes["eventbus.attempt"] == number
    assert ((first.attributes or {})["error.type"], first.status.status_code) == ("ValueError", StatusCode.ERROR)
    assert ((second.attributes or {})["error.type"], second.status.status_code) == ("Reject", StatusCode.UNSET)
    assert "canary" not in first.to_json()


def test_without_an_sdk_nothing_is_hooked_in_and_the_trace_of_others_is_carried_on() -> None:
    tracing = Tracing()
    assert not any(tracing.wants(hook) for hook in ("publish", "enqueue", "handle"))
    assert not tracing.wants("settled")
    carried: list[str | None] = []
    service, last = Service("middle"), Service("last")

    class Answered(Event, topic="answered", version=1):
        text: str

    @service.on(Asked)
    def answer(event: Asked) -> Answered:
        return Answered(text=event.text)

    @last.on(Answered)
    def read(event: Answered, context: Context) -> None:
        carried.append(context.traceparent)

    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    class Upstream(Middleware):
        def publish(self, topic: str, envelope: Any, proceed: Callable[..., None]) -> None:
            if topic == "asked":
                envelope.traceparent = header
            proceed(topic, envelope)

    with Bus("memory://", middleware=[tracing, Upstream()]) as bus:
        bus.start(service, last)
        bus.publish(Asked(text="x"))
        eventually(lambda: carried == [header])
        gevent.sleep(0)
