"""What the orders API takes and how much of it: one form of money, limits that nest, pages, keys, tokens and rates."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr, TypeAdapter, ValidationError

from eventbus import ConfigurationError
from eventbus.serving import failed_checks
from eventbus.testing import Harness
from services.orders import app as orders
from services.orders.events import OrderPlaced
from services.orders.models import Email, PlainText
from services.orders.settings import OrdersSettings
from services.orders.tables import idempotency_keys
from services.orders.tables import orders as orders_table

Body = dict[str, Any]
LINE = {"sku": "S", "quantity": 1, "price": "1.00"}


@pytest.fixture
def start(data: str, harness: Harness) -> Iterator[Callable[..., orders.OrdersApp]]:
    """Starts the service with the settings that are asked for."""
    made: list[orders.OrdersApp] = []

    def build(**settings: Any) -> orders.OrdersApp:
        made.append(orders.build(OrdersSettings(database_url=SecretStr(data), port=0, **settings)))
        harness.start(made[-1].service)
        return made[-1]

    yield build
    harness.close()
    for each in made:
        each.store.database.close()


def post(shop: orders.OrdersApp, body: Any, **headers: str) -> Any:
    return shop.api.test_client().post("/orders", json=body, headers=headers)


@pytest.mark.parametrize(
    "price",
    [
        "0.1",
        "1",
        "1.000",
        "01.00",
        "1e2",
        "1_0.00",
        "\uff11.00",
        "\u0661.00",
        " 1.00",
        "1.00\n",
        "+1.00",
        "-0.00",
        "0E+9",
        "10000000.00",
        1.0,
        1,
        None,
        True,
    ],
)
def test_a_price_has_one_form(start: Any, body: Body, price: Any) -> None:
    answer = post(start(), {**body, "lines": [{**LINE, "price": price}]})
    assert (answer.status_code, answer.json["field"]) == (422, "lines.0.price")


def test_api_event_and_column_say_the_same_amounts(start: Any, harness: Harness, body: Body) -> None:
    shop = start()
    prices = ["0.00", "0.10", "9999999.99"]
    answer = post(
        shop, {**body, "lines": [{"sku": f"S{index}", "quantity": 3, "price": each} for index, each in enumerate(prices)]}
    )
    harness.settle()
    (told,) = harness.envelopes()
    assert [line["price"] for line in told.data["lines"]] == [line["price"] for line in answer.json["lines"]] == prices
    assert told.data["total"] == answer.json["total"] == "30000000.27"


def test_a_total_that_an_event_cannot_carry_is_refused(shop: orders.OrdersApp, harness: Harness, body: Body) -> None:
    def order(quantity: int, price: str, lines: int = 1) -> Any:
        wanted = [{"sku": f"S{number}", "quantity": quantity, "price": price} for number in range(lines)]
        return post(shop, {**body, "lines": wanted})

    for answer in (order(10_000, "1000000.00"), order(10_000, "9999999.99", 200)):
        assert (answer.status_code, answer.json["field"]) == (422, "lines")
    most = order(1000, "9999999.99")
    assert (most.status_code, most.json["total"]) == (201, "9999999990.00")
    harness.settle()
    assert harness.published(OrderPlaced)[0].total == Decimal("9999999990.00")


@pytest.mark.parametrize("address", ["ada@xn--bcher-kva.com", "ada@mail.xn--bcher-kva.com", "ada@xn--d1acufc.xn--p1ai"])
def test_an_international_domain_in_its_ascii_form_is_taken_as_it_is(address: str) -> None:
    assert TypeAdapter(Email).validate_python(address) == address


@pytest.mark.parametrize("address", ["ada@b\u00fccher.com", "\u212aate@example.org", "a" * 65 + "@example.org", "a@b", ""])
def test_an_address_that_no_mail_reaches_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(address)


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\u200e", "\ufeff", "\u2028", "\x00", "\x7f", "\x9b", "\U000e0041", "\n"]
)
def test_text_that_hides_something_is_refused(start: Any, body: Body, hidden: str) -> None:
    answer = post(start(), {**body, "note": f"leave it {hidden}there"})
    assert (answer.status_code, answer.json["field"]) == (422, "note")


def test_each_control_character_is_hidden_text_and_joined_letters_are_not() -> None:
    plain = TypeAdapter(PlainText)
    for code in range(0x10000):
        if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp"):
            with pytest.raises(ValidationError):
                plain.validate_python(chr(code))
    for text in ("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f4bb", "Grüße, 你好"):
        assert plain.validate_python(text) == text


@pytest.mark.parametrize(
    "query",
    [
        "before=10000000000000000000",
        "before=1" + "0" * 40,
        "before=0",
        "limit=1_0",
        "limit=%2B5",
        "limit=True",
        "limit=1e2",
        "limit=%EF%BC%91",
        "limit=1001",
    ],
)
def test_a_number_of_a_query_is_digits_within_its_limits(start: Any, query: str) -> None:
    answer = start().api.test_client().get(f"/orders?{query}")
    assert (answer.status_code, answer.json["field"]) == (422, query.split("=")[0])


def test_a_query_that_no_decoder_takes_is_refused(start: Any) -> None:
    client = start().api.test_client()
    for query in ("status=\u00ff", "\u00e4=1"):
        assert client.get("/orders", environ_overrides={"QUERY_STRING": query}).status_code == 400


@pytest.mark.parametrize(("size", "status"), [(4096, 201), (4097, 413), (400_000, 413)])
def test_a_body_without_a_length_is_taken_whole_or_not_at_all(start: Any, body: Body, size: int, status: int) -> None:
    sent = json.dumps(body).encode()
    environ = {"wsgi.input": BytesIO(sent.ljust(size)), "wsgi.input_terminated": True, "CONTENT_TYPE": "application/json"}
    shop = start(max_body=4096)
    assert shop.api.test_client().post("/orders", environ_overrides=environ).status_code == status
    environ["wsgi.input"] = BytesIO(sent.ljust(4096) + b"}}garbage" * 2000)
    assert shop.api.test_client().post("/orders", environ_overrides=environ).status_code == 413


def test_what_is_no_page_is_told_so_before_its_body_is_looked_at(start: Any) -> None:
    client = start().api.test_client()
    assert client.post("/elsewhere", data=b"x").status_code == 404
    for path in ("/healthz", "/readyz", "/orders/1"):
        answer = client.post(path, data=b"x")
        assert (answer.status_code, answer.content_type) == (405, "application/problem+json")
        assert "GET" in answer.headers["Allow"]


def test_a_page_is_bounded_in_bytes_and_all_pages_have_all_orders(shop: orders.OrdersApp, body: Body) -> None:
    lines = [{"sku": f"a-rather-long-article-number-{number:03}", "quantity": 1, "price": "1.00"} for number in range(200)]
    assert post(shop, {**body, "lines": lines}).status_code == 201

    def multiply(connection: sa.Connection) -> None:
        row = dict(connection.execute(sa.select(orders_table)).mappings().one())
        del row["number"]
        copies = [{**row, "order_id": uuid4()} for _ in range(99)]
        connection.execute(sa.insert(orders_table), copies)

    shop.store.database.transact(multiply)
    seen: list[str] = []
    before, pages = "", 0
    while True:
        answer = shop.api.test_client().get(f"/orders?limit=1000{before}")
        assert len(answer.data) < 1_000_000
        seen += [each["order_id"] for each in answer.json["orders"]]
        pages += 1
        if answer.json["next"] is None:
            break
        before = f"&before={answer.json['next']}"
    assert len(seen) == len(set(seen)) == 100
    assert pages > 1


def test_a_key_is_forgotten_after_a_day_of_the_bus_and_its_rows_go_in_rounds(
    shop: orders.OrdersApp, harness: Harness, body: Body
) -> None:
    first = post(shop, body, **{"Idempotency-Key": "k"})
    assert abs(shop.store.time() - harness.clock.time()) < 1, "the service lives by the clock of its bus"

    def count(connection: sa.Connection) -> int:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(idempotency_keys)) or 0)

    old = [{"key": f"old-{number}", "digest": "d", "answer": {}, "created_at": 1000.0} for number in range(2500)]
    shop.store.database.transact(lambda connection: connection.execute(sa.insert(idempotency_keys), old))
    assert post(shop, body, **{"Idempotency-Key": "k"}).json == first.json
    assert shop.store.database.read(count) >= 2501, "a request cleans nothing"
    harness.advance(120.0)
    assert shop.store.database.read(count) == 1, "a round goes on while there is more"
    taken = post(shop, {**body, "customer_id": "c-2"}, **{"Idempotency-Key": "k"})
    assert taken.status_code == 409
    shop.store.database.transact(
        lambda connection: connection.execute(sa.update(idempotency_keys).values(created_at=1000.0))
    )
    taken = post(shop, {**body, "customer_id": "c-2"}, **{"Idempotency-Key": "k"})
    assert taken.status_code == 201, "an old key that is still there is as free as one that was cleaned away"
    assert post(shop, {**body, "customer_id": "c-2"}, **{"Idempotency-Key": "k"}).json == taken.json


def test_where_there_are_tokens_each_client_needs_one_and_has_keys_of_its_own(start: Any, body: Body) -> None:
    shop = start(tokens={"web": SecretStr("t-one"), "phone": SecretStr("t-two")})
    client = shop.api.test_client()
    for path in ("/orders", "/openapi/openapi.json"):
        for given in (
            {},
            {"Authorization": "Bearer three"},
            {"Authorization": "Basic t-one"},
            {"Authorization": "Bearer \u00e4"},
        ):
            answer = client.get(path, headers=given)
            assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    key = {"Idempotency-Key": "1"}
    web, phone = (post(shop, body, Authorization=f"Bearer {token}", **key) for token in ("t-one", "t-two"))
    assert web.status_code == phone.status_code == 201
    assert web.json["order_id"] != phone.json["order_id"]
    assert post(shop, body, Authorization="Bearer t-one", **key).json == web.json
    assert "t-one" not in repr(OrdersSettings(tokens={"web": SecretStr("t-one")}))


def test_too_many_orders_for_one_address_or_from_one_client_are_put_off(start: Any, harness: Harness, body: Body) -> None:
    shop = start(per_address=3, per_client=5)
    codes = [post(shop, body).status_code for _ in range(4)]
    assert codes == [201, 201, 201, 429]
    refused = post(shop, {**body, "email": "ADA@example.org"})
    assert (refused.status_code, refused.content_type) == (429, "application/problem+json")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    harness.advance(61.0)
    codes = [post(shop, {**body, "email": f"c{number}@example.org"}).status_code for number in range(6)]
    assert codes == [201] * 5 + [429]
    harness.advance(3601.0)
    assert post(shop, body).status_code == 201


def test_ready_means_that_an_order_can_be_taken(shop: orders.OrdersApp) -> None:
    assert failed_checks({"database": shop.store.check}) == {}
    rename = "ALTER TABLE orders RENAME TO away"
    shop.store.database.transact(lambda connection: connection.execute(sa.text(rename)))
    assert shop.api.test_client().get("/readyz").status_code == 503
    shop.store.database.transact(lambda connection: connection.execute(sa.text("ALTER TABLE away RENAME TO orders")))
    if not shop.store.database.is_sqlite:

        def read_only(connection: sa.Connection) -> None:
            connection.execute(sa.text("SET TRANSACTION READ ONLY"))
            connection.execute(sa.update(orders_table).where(sa.false()).values(status="placed"))

        with pytest.raises(sa.exc.SQLAlchemyError, match="read-only"):
            shop.store.database.transact(read_only)


def test_an_open_door_is_told(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    start(host="0.0.0.0")
    assert "has no login" in caplog.text


def test_settings_that_limit_nothing_are_refused() -> None:
    with pytest.raises((ValidationError, ConfigurationError)):
        OrdersSettings(per_address=0)
