"""A program of the test of tracing: three services on one nsqd, one order, two mails; prints all spans as JSON.

Patched, as the services are; each has a bus and a tracer provider of its own. Arguments: bus URL, SMTP port, folder.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

import urllib3  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from eventbus import Bus  # noqa: E402
from eventbus.observe import Tracing  # noqa: E402
from services.email_confirmation import app as email_confirmation  # noqa: E402
from services.email_confirmation.settings import EmailSettings  # noqa: E402
from services.fulfillment import app as fulfillment  # noqa: E402
from services.fulfillment.settings import FulfillmentSettings  # noqa: E402
from services.orders import app as orders  # noqa: E402
from services.orders.settings import OrdersSettings  # noqa: E402
from tests.waiting import eventually  # noqa: E402

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def main(url: str, smtp_port: int, folder: str) -> None:
    exporter = InMemorySpanExporter()

    def provider(service: str) -> TracerProvider:
        made = TracerProvider(resource=Resource.create({"service.name": service}))
        made.add_span_processor(SimpleSpanProcessor(exporter))
        return made

    def database(name: str) -> SecretStr:
        return SecretStr(f"sqlite:///{folder}/{name}.db")

    providers = {name: provider(name) for name in ("orders", "fulfillment", "email_confirmation")}
    buses = {name: Bus(url, source=name, middleware=[Tracing(each)]) for name, each in providers.items()}
    shop = orders.build(OrdersSettings(database_url=database("orders"), port=0), tracer_provider=providers["orders"])
    buses["orders"].start(shop.service)
    warehouse = fulfillment.build(FulfillmentSettings(database_url=database("fulfillment"), stock={"SKU-1": 10}))
    buses["fulfillment"].start(warehouse.service)
    mails = email_confirmation.build(
        EmailSettings(database_url=database("email"), smtp_host="127.0.0.1", smtp_port=smtp_port, orders_url=shop.server.url)
    )
    buses["email_confirmation"].start(*mails.services)
    answer = urllib3.request(
        "POST",
        f"{shop.server.url}/orders",
        json={
            "customer_id": "c-1",
            "email": "canary@example.org",
            "lines": [{"sku": "SKU-1", "quantity": 1, "price": "5.00"}],
        },
        headers={"traceparent": PARENT},
    )
    assert answer.status == 201, answer.data

    def count(name: str) -> int:
        return sum(span.name == name for span in exporter.get_finished_spans())

    try:
        eventually(lambda: count("process email") >= 2 and count("process orders_confirmed") >= 1)
    except AssertionError:
        raise SystemExit(f"not all was traced: {[span.name for span in exporter.get_finished_spans()]}") from None
    for bus in buses.values():
        bus.stop()
    sys.stdout.write(json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
