"""Field types: what pydantic must be told so that every field survives the wire unchanged.

- A `datetime` without a zone means another instant in another place, so only aware ones are let in. They travel as UTC,
  since an offset with seconds cannot be written in RFC 3339; a `time` has no UTC, and is refused with such an offset.
- `bytes` travel as base64 text, because data on the wire are JSON types.
- `SecretStr`, `SecretBytes` and `Secret[...]` hide their value from logs, not from readers: the value travels.
- A field that is written under another name (`serialization_alias`) is read under that name too.

The rules are laid over the core schema that pydantic made, so that users write plain annotations.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import CoreSchema, core_schema

from eventbus.errors import EventDefinitionError

Node = dict[str, Any]
_BY_NAME = ("fields", "choices")
_NO_SCHEMA = ("metadata", "default", "serialization", "config", "custom_error_context")


def _decode_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("bytes travel as base64 text, and this text is none") from None


def _encode_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def to_utc(value: datetime) -> datetime:
    """Return the same instant in UTC."""
    return value.astimezone(UTC)


def write_instant(value: datetime) -> str:
    """Return a datetime as it travels: RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _whole_minutes(value: time) -> time:
    offset = value.utcoffset()
    if offset is not None and offset.total_seconds() % 60:
        raise ValueError(f"a time with the offset {offset} cannot be written: an offset on the wire has whole minutes")
    return value


def _reveal(value: Any) -> Any:
    return value.get_secret_value()


def _reveal_bytes(value: Any) -> str:
    return _encode_base64(value.get_secret_value())


def _base64_text() -> CoreSchema:
    return core_schema.str_schema(metadata={"pydantic_js_updates": {"contentEncoding": "base64"}})


def _bytes_schema(inner: Node) -> Node:
    made = cast(
        "Node",
        core_schema.no_info_before_validator_function(
            _decode_base64,
            cast("CoreSchema", inner),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _encode_base64, return_schema=_base64_text(), when_used="json-unless-none"
            ),
            json_schema_input_schema=_base64_text(),
        ),
    )
    # what the user said of its serialization stays
    return {**made, "serialization": inner["serialization"]} if "serialization" in inner else made


def _written_as(node: Node, function: Any, return_schema: Any) -> Node:
    """Return `node`, written by `function`; what the user said of its serialization stays."""
    if "serialization" in node:
        return node
    made = core_schema.plain_serializer_function_ser_schema(
        function, return_schema=return_schema, when_used="json-unless-none"
    )
    return {**node, "serialization": made}


def keep_on_the_wire(schema: CoreSchema) -> CoreSchema:
    """Return `schema` with these rules wherever it does not refer to another class."""
    return cast("CoreSchema", _rewrite(schema))


def _rewrite(node: Any) -> Any:
    if isinstance(node, list):
        return [_rewrite(item) for item in node]
    if isinstance(node, tuple):
        return tuple(_rewrite(item) for item in node)
    if not isinstance(node, dict) or is_base64(node):
        return node
    kind = node.get("type")
    if kind == "datetime":
        return _written_as({**node, "tz_constraint": "aware"}, to_utc, core_schema.datetime_schema())
    if kind == "time":
        return _written_as(node, _whole_minutes, core_schema.time_schema())
    if kind == "bytes":
        return _bytes_schema(node)
    made = {
        key: value if key in _NO_SCHEMA else _rewrite_each(value) if _is_by_name(key, value) else _rewrite(value)
        for key, value in node.items()
    }
    if is_secret(node):
        made["serialization"] = _revealed(made)
    if kind == "model-fields":
        made["fields"] = {name: _readable(name, field) for name, field in made["fields"].items()}
    return made


def _rewrite_each(nodes: Node) -> Node:
    return {name: _rewrite(each) for name, each in nodes.items()}


def _is_by_name(key: str, value: Any) -> bool:
    """Whether what stands under a node's key is no node but maps names of the user, which may be any words, to nodes."""
    return key in _BY_NAME and isinstance(value, dict)


def parts(node: Node) -> Iterator[tuple[str, Any]]:
    """Yield, each with its key, what may be or hold nodes below a node; what maps names to nodes as a list of them."""
    for key, value in node.items():
        if _is_by_name(key, value):
            yield key, list(value.values())
        elif key not in _NO_SCHEMA:
            yield key, value


def _readable(name: str, field: Node) -> Node:
    """Return a field that is read under the name under which it is written."""
    written = field.get("serialization_alias")
    if written is None or "validation_alias" in field:
        return field
    return {**field, "validation_alias": [[written], [name]]}


def leave_instants(schema: CoreSchema) -> CoreSchema:
    """Return an event's schema whose own datetimes pydantic writes itself.

    `dump` looks whether those are UTC, which costs less than a call for each.
    """
    node = cast("Node", schema)
    fields = node.get("schema", {}).get("fields") if node.get("type") == "model" else None
    if fields is None:
        return schema
    left = {name: _instant_left_alone(field) for name, field in fields.items()}
    return cast("CoreSchema", {**node, "schema": {**node["schema"], "fields": left}})


def _instant_left_alone(field: Node) -> Node:
    inner = field["schema"]
    wrappers = []
    while inner.get("type") in ("default", "nullable"):
        wrappers.append(inner)
        inner = inner["schema"]
    if inner.get("type") != "datetime" or inner.get("serialization", {}).get("function") is not to_utc:
        return field
    left = {key: value for key, value in inner.items() if key != "serialization"}
    for wrapper in reversed(wrappers):
        left = {**wrapper, "schema": left}
    return {**field, "schema": left}


def _revealed(node: Node) -> Node:
    inner = node["json_schema"]["schema"]
    if inner.get("type") == "str":
        return cast("Node", core_schema.plain_serializer_function_ser_schema(_reveal, when_used="json-unless-none"))
    if is_base64(inner):
        return cast("Node", core_schema.plain_serializer_function_ser_schema(_reveal_bytes, when_used="json-unless-none"))
    return cast(
        "Node",
        core_schema.plain_serializer_function_ser_schema(_reveal, return_schema=inner, when_used="json-unless-none"),
    )


def is_secret(node: Node) -> bool:
    """Whether a node is one of pydantic's secrets, as pydantic made it."""
    function = (node.get("serialization") or {}).get("function") if node.get("type") == "json-or-python" else None
    return getattr(function, "__module__", "") == "pydantic.types" and "secret" in getattr(function, "__name__", "")


def is_base64(node: Node) -> bool:
    """Whether a node is bytes that travel as base64 text."""
    return node.get("type") == "function-before" and node["function"].get("function") is _decode_base64


def check_nested(owner: type[BaseModel]) -> None:
    """Look through all that `owner` is made of, other classes included, whose own rules cannot be changed from here.

    Raises:
        EventDefinitionError: when one would lose a datetime's zone, a byte or a secret on the wire.
    """
    _check(owner.__pydantic_core_schema__, owner.__name__, {owner})


def _check(node: Any, name: str, seen: set[type]) -> None:
    if isinstance(node, list | tuple):
        for item in node:
            _check(item, name, seen)
    elif isinstance(node, dict) and not is_base64(node):
        kind = node.get("type")
        made_of = node.get("cls")
        if isinstance(made_of, type):
            name = made_of.__name__
            if made_of not in seen and issubclass(made_of, BaseModel) and made_of.__pydantic_complete__:
                # a class is written by its own schema, not by what its owner's schema says of it
                seen.add(made_of)
                _check(made_of.__pydantic_core_schema__, name, seen)
        if kind == "bytes" or (kind == "datetime" and node.get("tz_constraint") is None) or is_secret(node):
            raise EventDefinitionError(
                f"{name} has a {'secret' if is_secret(node) else kind} field that would not survive the wire; "
                f"derive {name} from eventbus.Value"
            )
        for _, value in parts(node):
            _check(value, name, seen)
