"""Field types: what pydantic must be told so that every field survives the wire unchanged.

Two types need help. A `datetime` without a zone means another instant in another place, so only aware ones are let in.
`bytes` travel as base64 text, because data on the wire are JSON types. Both rules are laid over the core schema that
pydantic made, so that users write plain annotations.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import CoreSchema, core_schema

from eventbus.errors import EventDefinitionError


def _decode_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("bytes travel as base64 text, and this text is none") from None


def _encode_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _base64_text() -> CoreSchema:
    return core_schema.str_schema(metadata={"pydantic_js_updates": {"contentEncoding": "base64"}})


def _bytes_schema(inner: dict[str, Any]) -> dict[str, Any]:
    return cast(
        "dict[str, Any]",
        core_schema.no_info_before_validator_function(
            _decode_base64,
            cast("CoreSchema", inner),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _encode_base64, return_schema=_base64_text(), when_used="json-unless-none"
            ),
            json_schema_input_schema=_base64_text(),
        ),
    )


def keep_on_the_wire(schema: CoreSchema) -> CoreSchema:
    """Return `schema` with aware datetimes and base64 bytes wherever it does not refer to another class."""
    return cast("CoreSchema", _rewrite(schema))


def _rewrite(node: Any) -> Any:
    if isinstance(node, list):
        return [_rewrite(item) for item in node]
    if isinstance(node, tuple):
        return tuple(_rewrite(item) for item in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if kind == "datetime":
        return {**node, "tz_constraint": "aware"}
    if kind == "bytes":
        return _bytes_schema(node)
    if _is_base64(node):
        return node
    return {key: value if key in _NO_SCHEMA else _rewrite(value) for key, value in node.items()}


def check_nested(owner: type[BaseModel]) -> None:
    """Look through all that `owner` is made of, other classes included, whose own rules cannot be changed from here.

    Raises:
        EventDefinitionError: when one would lose a datetime's zone or a byte on the wire.
    """
    _check(owner.__pydantic_core_schema__, owner.__name__)


def _check(node: Any, name: str) -> None:
    if isinstance(node, list | tuple):
        for item in node:
            _check(item, name)
    elif isinstance(node, dict) and not _is_base64(node):
        kind = node.get("type")
        if "cls" in node:
            name = node["cls"].__name__
        if kind == "bytes" or (kind == "datetime" and node.get("tz_constraint") is None):
            raise EventDefinitionError(
                f"{name} has a {kind} field that would not survive the wire; derive {name} from eventbus.Value"
            )
        for key, value in node.items():
            if key not in _NO_SCHEMA:
                _check(value, name)


def _is_base64(node: dict[str, Any]) -> bool:
    return node.get("type") == "function-before" and node["function"].get("function") is _decode_base64


_NO_SCHEMA = ("metadata", "default")
