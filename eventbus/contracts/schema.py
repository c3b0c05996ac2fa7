"""Schema: JSON Schema 2020-12 of an event class, as its data look on the wire.

pydantic makes it; what it says of a field that travels as text but is no text (Decimal, bytes) is put right here, so that a
schema says what a reader will accept.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from eventbus.event import Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DECIMAL = "x-decimal"
"""Keyword with the bounds of a Decimal, which travels as text: JSON Schema has none for the number in a text."""
MADE = "x-default-made"
"""Keyword of a field that a reader makes when it is missing (`default_factory`): as good as a default."""

_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "max_digits": "maxDigits",
    "decimal_places": "decimalPlaces",
    "multiple_of": "multipleOf",
}


class _WireSchema(GenerateJsonSchema):
    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        # "as text" alone says too little; the type below says which texts
        return None if schema["type"] == "to-string" else super().ser_schema(schema)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        found: JsonSchemaValue = {"type": "string", "format": "decimal"}
        bounds = {word: schema[name] for name, word in _BOUNDS.items() if schema.get(name) is not None}  # type: ignore[literal-required]
        if bounds:
            found[DECIMAL] = {word: str(bound) for word, bound in bounds.items()}
        if self.mode == "validation":
            number: JsonSchemaValue = {"type": "number"}
            return {"anyOf": [found, {**number, DECIMAL: found[DECIMAL]} if bounds else number]}
        return found

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        return {"type": "string", "contentEncoding": "base64"}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if "default" not in found and "default_factory" in schema:
            found = {**found, MADE: True}
        return found


def written_schema(event_type: type[Event]) -> dict[str, Any]:
    """Return the schema of what the owner of `event_type` writes: all fields are always there, and no others."""
    schema = event_type.model_json_schema(mode="serialization", schema_generator=_WireSchema)
    for each in [schema, *schema.get("$defs", {}).values()]:
        if each.get("type") == "object" and "properties" in each:
            each["required"] = list(each["properties"])
            each["additionalProperties"] = False
    return schema


def read_schema(event_type: type[Event]) -> dict[str, Any]:
    """Return the schema of what a view accepts. Fields that it does not know are passed over, which a schema cannot say."""
    return event_type.model_json_schema(mode="validation", schema_generator=_WireSchema)
