"""HTTP API of the orders service, with its OpenAPI document at /openapi/openapi.json and its page at /openapi/swagger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, g, jsonify, make_response, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import BadRequest, HTTPException

from eventbus.serving import failed_checks
from services.orders import bodies
from services.orders.access import Clients, RateLimit
from services.orders.document import DocumentedApi
from services.orders.metrics import OrdersMetrics
from services.orders.models import (
    Health,
    IdempotencyHeader,
    ListQuery,
    OrderIn,
    OrderList,
    OrderOut,
    OrderPath,
    Problem,
)
from services.orders.problems import invalid, problem, register_problems
from services.orders.settings import OrdersSettings
from services.orders.store import KeyReusedError, OrderStore

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'",
}
_READING: dict[str | int, Any] = dict.fromkeys((400, 401, 408, 421, 422, 503), Problem)
_PLACING: dict[str | int, Any] = {**_READING, **dict.fromkeys((409, 413, 415, 429), Problem)}


def make_api(store: OrderStore, metrics: OrdersMetrics, settings: OrdersSettings) -> OpenAPI:
    """Return the WSGI application."""
    app = DocumentedApi(
        "orders",
        info=Info(title="orders", version="1.0.0", description="Places orders, and tells how far they are."),
        security_schemes={},
        validation_error_callback=invalid,
        validation_error_model=Problem,
    )
    clients = Clients(settings.tokens)
    by_address = RateLimit(settings.per_address, 3600.0, store.time)
    by_client = RateLimit(settings.per_client, 60.0, store.time)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    register_problems(app)
    metrics.count_requests_of(app)

    @app.before_request
    def look_at_request() -> None:
        g.client = clients.name_of(request)
        try:
            request.args.keys()
        except UnicodeDecodeError:
            raise BadRequest("the query is no ASCII; write other characters as %XX of their UTF-8") from None
        if request.method == "POST" and request.routing_exception is None:
            bodies.read_json(request, most=settings.max_body)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.post("/orders", responses={201: OrderOut, **_PLACING}, summary="Place an order")
    def place(body: OrderIn, header: IdempotencyHeader) -> Response:
        """Accept an order. With `Idempotency-Key`, sending it again gives the same answer and no second order."""
        if body.currency not in settings.currencies:
            return problem(422, f"give one of {', '.join(settings.currencies)}", "currency")
        by_client.take(g.client or request.remote_addr or "", "too many orders from this client")
        by_address.take(body.email.lower(), "too many orders for this address")
        digest = bodies.digest_of(request.get_json())
        try:
            order = store.place(body, header.key, digest, client=g.client)
        except KeyReusedError:
            return problem(409, "this key was used for another order; make a new one", "Idempotency-Key")
        metrics.accepted(is_new=order.is_new)
        response = make_response(jsonify(order.answer), 201)
        response.headers["Location"] = f"/orders/{order.answer['order_id']}"
        return response

    @app.get("/orders/<order_id>", responses={200: OrderOut, 404: Problem, **_READING}, summary="Look at an order")
    def get(path: OrderPath) -> Response:
        order = store.get(path.order_id)
        if order is None:
            return problem(404, "no such order", "order_id")
        return jsonify(order.model_dump(mode="json"))

    @app.get("/orders", responses={200: OrderList, **_READING}, summary="List orders")
    def find(query: ListQuery) -> Response:
        found, following = store.find(query.status, query.limit, query.before)
        return jsonify(OrderList(orders=found, next=following).model_dump(mode="json"))

    @app.get("/healthz", responses={200: Health}, summary="Whether the process is alive")
    def healthz() -> Response:
        return jsonify({"status": "alive"})

    @app.get("/readyz", responses={200: Health, 503: Health}, summary="Whether orders can be taken")
    def readyz() -> Response:
        failures = failed_checks({"database": store.check})
        if failures:
            return make_response(jsonify({"status": "not ready", "checks": failures}), 503)
        return jsonify({"status": "ready"})

    return app


def route_of(app: OpenAPI, environ: Mapping[str, Any]) -> str:
    """Return the pattern of the route that serves a request, as `/orders/<order_id>`; empty where none does."""
    try:
        rule, _ = app.url_map.bind_to_environ(dict(environ)).match(return_rule=True)
    except HTTPException:
        return ""
    return str(rule.rule)
