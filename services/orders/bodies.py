"""Bodies: whether a request's body is JSON that may be looked at at all, before anything reads it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

_MAX_DEPTH = 16


def read_json(request: Request, *, most: int) -> Any:
    """Return the body, of at most `most` bytes, as JSON types.

    Raises:
        werkzeug.exceptions.HTTPException: 413 too large, 415 not declared as JSON, 408 too slow, 400 not readable; each
            says why.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("send the order as Content-Type: application/json")
    body = _read(request, most)
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        _check_depth(value)
    except UnicodeDecodeError:
        raise BadRequest("the body is no UTF-8") from None
    except RecursionError:
        raise BadRequest(f"the body is nested deeper than {_MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"the body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise BadRequest(f"the body is no JSON that can be taken: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body is no JSON object")
    return value


def _read(request: Request, most: int) -> bytes:
    request.max_content_length = most + 1  # one more than is taken: a stream of unknown length ends silently at its limit
    try:
        body = request.get_data(cache=True)
    except TimeoutError:
        raise RequestTimeout("the body took too long") from None
    except BadRequest as error:
        if isinstance(error.__context__, TimeoutError):
            raise RequestTimeout("the body took too long") from None
        raise
    if len(body) > most:
        raise RequestEntityTooLarge(f"the body is longer than {most} bytes")
    return body


def digest_of(value: Any) -> str:
    """Return a digest that is the same for the same JSON, however it is written."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("an object names a field twice")
    return read


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        containers = [each for each in level if isinstance(each, dict | list)]
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return
    raise RecursionError
