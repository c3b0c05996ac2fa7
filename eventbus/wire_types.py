"""Wire types: what pydantic must be told so that every field survives the wire unchanged.

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


def _bytes_schema(inner: dict[str, Any]) -> dict[str, Any]:
    return cast(
        "dict[str, Any]",
        core_schema.no_info_before_validator_function(
            _decode_base64,
            cast("CoreSchema", inner),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _encode_base64, return_schema=core_schema.str_schema(), when_used="json-unless-none"
            ),
            json_schema_input_schema=core_schema.str_schema(),
        ),
    )


def keep_on_the_wire(schema: CoreSchema, owner: type[BaseModel]) -> CoreSchema:
    """Return `schema` with aware datetimes and base64 bytes for the fields of `owner`.

    Raises:
        EventDefinitionError: when a nested plain BaseModel, whose own rules cannot be changed from here, has such a field.
    """
    return cast("CoreSchema", _rewrite(schema, owner, f"{owner.__name__}"))


def _rewrite(node: Any, owner: type[BaseModel], place: str) -> Any:
    if isinstance(node, list):
        return [_rewrite(item, owner, place) for item in node]
    if isinstance(node, tuple):
        return tuple(_rewrite(item, owner, place) for item in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if kind == "model" and node.get("cls") is not owner:
        nested = node["cls"]
        if not getattr(nested, "__keeps_on_the_wire__", False):
            _refuse_unsafe(node, nested)
        return node
    if kind == "datetime":
        return {**node, "tz_constraint": "aware"}
    if kind == "bytes":
        return _bytes_schema(node)
    if kind == "function-before" and node["function"].get("function") is _decode_base64:
        return node
    return {key: value if key in ("metadata", "default") else _rewrite(value, owner, place) for key, value in node.items()}


def _refuse_unsafe(node: Any, nested: type[BaseModel]) -> None:
    if isinstance(node, list | tuple):
        for item in node:
            _refuse_unsafe(item, nested)
    elif isinstance(node, dict):
        kind = node.get("type")
        unsafe = kind == "bytes" or (kind == "datetime" and node.get("tz_constraint") is None)
        if unsafe:
            raise EventDefinitionError(
                f"{nested.__name__} has a {kind} field and is a plain BaseModel, which would not keep it on the wire; "
                f"derive {nested.__name__} from eventbus.Value"
            )
        for key, value in node.items():
            if key not in ("metadata", "default"):
                _refuse_unsafe(value, nested)
