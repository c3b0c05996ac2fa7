"""The orders service: what it accepts it announces, and it follows what becomes of an order."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from eventbus import RetryLater
from eventbus.observe import Metrics
from eventbus.testing import Harness
from services.orders.app import OrdersApp
from services.orders.events import OrderConfirmed, OrderPlaced, OrderRejected, OrderShipped
from services.orders.tables import orders
from tests.conftest import sqlite_alone

Body = dict[str, Any]


def post(shop: OrdersApp, body: Any, *, key: str | None = None, **options: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    if isinstance(body, bytes | str):
        return shop.api.test_client().post(
            "/orders", data=body, headers=headers, content_type=options.get("content_type", "application/json")
        )
    return shop.api.test_client().post("/orders", json=body, headers=headers)


def get(shop: OrdersApp, path: str) -> Any:
    return shop.api.test_client().get(path)


def count(shop: OrdersApp) -> int:
    query = sa.select(sa.func.count()).select_from(orders)
    return int(shop.store.database.transact(lambda connection: connection.scalar(query)))


def test_an_accepted_order_is_announced_whole(shop: OrdersApp, harness: Harness, body: Body) -> None:
    answer = post(shop, body)
    assert answer.status_code == 201
    assert answer.json["status"] == "placed"
    assert answer.json["total"] == "20.00"
    assert answer.headers["Location"] == f"/orders/{answer.json['order_id']}"
    harness.settle()
    (event,) = harness.published(OrderPlaced)
    assert str(event.order_id) == answer.json["order_id"]
    assert event.email == "ada@example.org"
    assert harness.envelopes()[0].subject == answer.json["order_id"]


def test_an_order_is_followed_to_its_end(shop: OrdersApp, harness: Harness, body: Body) -> None:
    one, two = (UUID(post(shop, body).json["order_id"]) for _ in range(2))
    harness.publish(OrderShipped(order_id=one, tracking_number="T1"))
    harness.publish(OrderRejected(order_id=two, reason="out of stock: SKU-1"))
    harness.publish(OrderConfirmed(order_id=two))
    harness.settle()
    shipped, rejected = get(shop, f"/orders/{one}").json, get(shop, f"/orders/{two}").json
    assert (shipped["status"], shipped["tracking_number"], shipped["confirmed_at"]) == ("shipped", "T1", None)
    assert (rejected["status"], rejected["reason"]) == ("rejected", "out of stock: SKU-1")
    assert rejected["confirmed_at"] is not None
    assert [each["order_id"] for each in get(shop, "/orders?status=shipped").json["orders"]] == [str(one)]


def test_news_of_an_order_that_is_not_here_is_parked_in_the_end(shop: OrdersApp, harness: Harness) -> None:
    with harness.expecting(RetryLater):
        harness.publish(OrderConfirmed(order_id=uuid4()))
        harness.settle()
    (letter,) = harness.dead_letters("orders")
    assert letter.event_type == "OrderConfirmed"


def test_the_same_key_and_body_give_the_same_answer(shop: OrdersApp, harness: Harness, body: Body) -> None:
    first = post(shop, body, key="k-1")
    harness.settle()
    harness.publish(OrderShipped(order_id=UUID(first.json["order_id"]), tracking_number="T1"))
    harness.settle()
    again = post(shop, json.dumps(body, indent=3), key="k-1")  # written otherwise, but the same
    assert (again.status_code, again.json) == (201, first.json)
    harness.settle()
    assert len(harness.published(OrderPlaced)) == 1
    other = post(shop, {**body, "customer_id": "c-2"}, key="k-1")
    assert other.status_code == 409
    assert other.json["field"] == "Idempotency-Key"
    assert post(shop, body, key="k-2").json["order_id"] != first.json["order_id"]
    assert count(shop) == 2


@pytest.mark.parametrize("key", ["with space", "x" * 256, "umlaut-ä"])
@sqlite_alone
def test_a_key_that_cannot_be_one_is_refused(shop: OrdersApp, body: Body, key: str) -> None:
    answer = post(shop, body, key=key)
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json["field"]
    assert count(shop) == 0


LINE = {"sku": "SKU-1", "quantity": 1, "price": "1.00"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [LINE | {"sku": f"S-{number}"} for number in range(201)]}, "lines"),
        ({"lines": [LINE | {"quantity": 0}]}, "lines.0.quantity"),
        ({"lines": [LINE | {"quantity": -1}]}, "lines.0.quantity"),
        ({"lines": [LINE | {"quantity": 1.5}]}, "lines.0.quantity"),
        ({"lines": [LINE | {"quantity": "2"}]}, "lines.0.quantity"),
        ({"lines": [LINE | {"quantity": True}]}, "lines.0.quantity"),
        ({"lines": [LINE | {"quantity": 10**30}]}, "lines.0.quantity"),
        ({"lines": [LINE | {"price": "-1.00"}]}, "lines.0.price"),
        ({"lines": [LINE | {"price": "1.001"}]}, "lines.0.price"),
        ({"lines": [LINE | {"price": "NaN"}]}, "lines.0.price"),
        ({"lines": [LINE | {"sku": "'; DROP TABLE orders;--"}]}, "lines.0.sku"),
        ({"lines": [LINE, LINE | {"sku": "SKU-2"}, LINE]}, "lines.0.sku"),
        ({"lines": [LINE | {"colour": "red"}]}, "lines.0.colour"),
        ({"lines": {"sku": "SKU-1"}}, "lines"),
        ({"email": "ada@example.org\r\nBcc: eve@example.org"}, "email"),
        ({"email": "ada@example.org, eve@example.org"}, "email"),
        ({"email": "=?utf-8?q?ada=0D=0ABcc:_eve?=@example.org"}, "email"),
        ({"email": "Ada <ada@example.org>"}, "email"),
        ({"email": "a" * 300 + "@example.org"}, "email"),
        ({"email": None}, "email"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "c\n1"}, "customer_id"),
        ({"note": "line\x00break"}, "note"),
        ({"note": "x" * 1001}, "note"),
        ({"currency": "euro"}, "currency"),
        ({"currency": "XTS"}, "currency"),
        ({"status": "shipped"}, "status"),
        ({"total": "0.01"}, "total"),
    ],
)
@sqlite_alone
def test_a_wrong_field_is_named_and_nothing_is_done(
    shop: OrdersApp, harness: Harness, body: Body, change: Body, field: str
) -> None:
    answer = post(shop, {**body, **change}, key="a-key")
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["field"] == field
    assert "eve" not in answer.text, "what was sent is not repeated"
    harness.settle()
    assert count(shop) == 0
    assert harness.published_types() == []
    assert post(shop, body, key="a-key").status_code == 201, "the key of a refused request is free"


@pytest.mark.parametrize(
    ("sent", "content_type", "status", "said"),
    [
        (b'{"customer_id": "c-1", ', "application/json", 400, "no JSON"),
        (b"", "application/json", 400, "no JSON"),
        (b"[]", "application/json", 400, "no JSON object"),
        (b"\xff\xfe", "application/json", 400, "UTF-8"),
        (b'{"a": NaN}', "application/json", 400, "NaN"),
        (b'{"email": "a@b.cd", "email": "e@f.gh"}', "application/json", 400, "twice"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "application/json", 400, "deeper than 16"),
        (b"[" * 30_000 + b"]" * 30_000, "application/json", 400, "deeper than 16"),
        (b'{"note": "' + b"x" * 70_000 + b'"}', "application/json", 413, ""),
        (b"customer_id=c-1", "application/x-www-form-urlencoded", 415, "application/json"),
        (b"{}", "text/plain", 415, "application/json"),
        (b"9" * 10_000, "application/json", 400, "no JSON"),
    ],
)
@sqlite_alone
def test_a_body_that_is_none_is_refused(shop: OrdersApp, sent: bytes, content_type: str, status: int, said: str) -> None:
    answer = post(shop, sent, content_type=content_type)
    assert answer.status_code == status, answer.text
    assert said in answer.json["detail"]
    assert count(shop) == 0


def test_pages_and_filters(shop: OrdersApp, body: Body) -> None:
    ids = [post(shop, body).json["order_id"] for _ in range(7)]
    first = get(shop, "/orders?limit=3").json
    second = get(shop, f"/orders?limit=3&before={first['next']}").json
    third = get(shop, f"/orders?limit=3&before={second['next']}").json
    listed = [each["order_id"] for page in (first, second, third) for each in page["orders"]]
    assert listed == ids[::-1]
    assert third["next"] is None
    for path, field in (("/orders?status=lost", "status"), ("/orders?limit=0", "limit"), ("/orders?page=2", "page")):
        answer = get(shop, path)
        assert (answer.status_code, answer.json["field"]) == (422, field)


def test_what_is_not_there_is_a_problem_too(shop: OrdersApp) -> None:
    for path, status in ((f"/orders/{uuid4()}", 404), ("/orders/not-an-id", 422), ("/elsewhere", 404)):
        answer = get(shop, path)
        assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert shop.api.test_client().delete("/orders").status_code == 405


def test_health_metrics_and_document(shop: OrdersApp, harness: Harness, body: Body) -> None:
    post(shop, body)
    harness.settle()
    assert get(shop, "/healthz").json == {"status": "alive"}
    assert get(shop, "/readyz").json == {"status": "ready"}
    assert get(shop, "/metrics").status_code == 404
    told = Metrics()
    told.bind(harness.bus)
    told.refresh()
    for line in ('orders{status="placed"} 1.0', 'orders_accepted_total{kind="new"} 1.0', 'state="waiting"} 0.0'):
        assert line in told.render().decode()
    document = get(shop, "/openapi/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert {"/orders", "/orders/{order_id}", "/healthz", "/readyz"} <= document["paths"].keys()
    assert set(document["paths"]["/orders"]["post"]["responses"]) >= {"201", "400", "409", "413", "415", "422", "503"}
    page = get(shop, "/openapi/swagger")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_nothing_internal_leaks_when_the_database_is_away(shop: OrdersApp, body: Body) -> None:
    rename = "ALTER TABLE orders RENAME TO away"
    shop.store.database.transact(lambda connection: connection.execute(sa.text(rename)))
    answer = post(shop, body, key="k")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    for secret in ("away", "orders.", "SELECT", "sqlalchemy", "Traceback", "ada@"):
        assert secret not in answer.text
    rename = "ALTER TABLE away RENAME TO orders"
    shop.store.database.transact(lambda connection: connection.execute(sa.text(rename)))
    assert post(shop, body, key="k").status_code == 201


def test_a_fault_of_our_own_is_a_500_that_says_nothing(shop: OrdersApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(shop.store, "get", fail)
    answer = get(shop, f"/orders/{uuid4()}")
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_news_that_a_database_cannot_hold_are_rejected_at_once(shop: OrdersApp, harness: Harness, body: Body) -> None:
    order_id = UUID(post(shop, body).json["order_id"])
    harness.publish(OrderShipped(order_id=order_id, tracking_number="T" * 65))
    harness.settle()
    (letter,) = harness.dead_letters("orders")
    assert "64 characters" in letter.reason
    assert get(shop, f"/orders/{order_id}").json["status"] == "placed"
