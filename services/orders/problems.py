"""Problems: every refusal as RFC 9457 problem details that name the field; nothing internal in any of them."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, make_response
from pydantic import ValidationError
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from services.orders.models import Problem

log = logging.getLogger("services.orders")


def problem(status: int, detail: str, field: str | None = None) -> Response:
    """Return a problem as a response."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, field=field)
    response = make_response(body.model_dump_json(exclude_none=True), status)
    response.headers["Content-Type"] = "application/problem+json"
    return response


def invalid(error: ValidationError) -> Response:
    """Return what is wrong with a request, without repeating what it said."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in fault["loc"])
    detail = fault["msg"]
    if fault["type"] in ("duplicate_line", "total"):
        field, _, detail = detail.partition(": ")
    more = error.error_count() - 1
    return problem(422, detail + (f" (and {more} more)" if more else ""), field or "body")


def register_problems(app: Flask) -> None:
    """Let `app` answer every error as a problem."""

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        response = problem(error.code or 500, error.description or "")
        for name, value in error.get_headers():
            if name in ("Allow", "Retry-After", "WWW-Authenticate"):
                response.headers[name] = value
        return response

    @app.errorhandler(SQLAlchemyError)
    def unavailable(error: SQLAlchemyError) -> Response:
        log.error("the database failed: %s: %s", type(error).__name__, str(error).split("\n", 1)[0])
        response = problem(503, "the orders cannot be reached at the moment; nothing was done, try again")
        response.headers["Retry-After"] = "2"
        return response

    @app.errorhandler(DataError)
    @app.errorhandler(IntegrityError)
    def unstorable(error: SQLAlchemyError) -> Response:
        # sending it again would not help: no "try again" for it
        log.error("the database refused a value: %s", type(error).__name__)
        return problem(422, "something in it cannot be stored; nothing was done", "body")

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return problem(500, "something went wrong here; it is in our log")
