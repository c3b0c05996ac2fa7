"""Schema: JSON Schema 2020-12 of an event class, as its data look on the wire.

pydantic makes it; what it says of a field that travels as text but is no text (Decimal, bytes, times) is put right here, so
that a schema says what a reader will accept. What JSON Schema has no word for stands in keywords of our own (`dialect`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from eventbus.contracts.dialect import BYTES, DECIMAL, MADE, NAMES, TEXT, TIME, URL, Schema, mapped, target
from eventbus.event import Event
from eventbus.wire.field_types import is_base64

_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "max_digits": "maxDigits",
    "decimal_places": "decimalPlaces",
    "multiple_of": "multipleOf",
}
_DURATION = TypeAdapter(timedelta)


class _WireSchema(GenerateJsonSchema):
    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        # "as text" alone says too little; the type below says which texts. What `field_types` writes is in the type too
        function = schema.get("function")
        if schema["type"] == "to-string" or getattr(function, "__module__", "") == "eventbus.wire.field_types":
            return None
        return super().ser_schema(schema)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        found: JsonSchemaValue = {"type": "string", "format": "decimal"}
        bounds = {word: schema[name] for name, word in _BOUNDS.items() if schema.get(name) is not None}  # type: ignore[literal-required]
        if bounds:
            found[DECIMAL] = {word: str(bound) for word, bound in bounds.items()}
        if self.mode == "validation":
            number: JsonSchemaValue = {"type": "number"}
            return {"anyOf": [found, {**number, DECIMAL: found[DECIMAL]} if bounds else number]}
        return found

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        if is_base64(schema):  # type: ignore[arg-type]
            return self.generate_inner(schema["schema"])
        return super().function_before_schema(schema)

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        lengths = {"minLength": schema.get("min_length"), "maxLength": schema.get("max_length")}
        given = {word: bound for word, bound in lengths.items() if bound is not None}
        return {"type": "string", "contentEncoding": "base64", **({BYTES: given} if given else {})}

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        found = super().str_schema(schema)
        return {**found, TEXT: {"strip": True}} if schema.get("strip_whitespace") else found

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        return _timed(super().date_schema(schema), schema)

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        return _timed(super().time_schema(schema), schema)

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        return _timed(super().datetime_schema(schema), schema)

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        return _timed({"type": "string", "format": "duration"}, schema)

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        return _schemed(super().url_schema(schema), schema)

    def multi_host_url_schema(self, schema: core_schema.MultiHostUrlSchema) -> JsonSchemaValue:
        return _schemed(super().multi_host_url_schema(schema), schema)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        values = self.generate_inner(schema["values_schema"]) if "values_schema" in schema else {}
        names = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        found: JsonSchemaValue = {"type": "object", "additionalProperties": values or True, "propertyNames": names}
        self.update_with_validations(found, schema, self.ValidationsMapping.object)
        return found

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if "default" not in found and "default_factory" in schema:
            found = {**found, MADE: True}
        return found

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        return self._named(super().model_field_schema(schema), schema)

    def dataclass_field_schema(self, schema: core_schema.DataclassField) -> JsonSchemaValue:
        return self._named(super().dataclass_field_schema(schema), schema)

    def _named(self, found: JsonSchemaValue, schema: Any) -> JsonSchemaValue:
        names = schema.get("validation_alias")
        if self.mode == "validation" and isinstance(names, list):
            return {**found, NAMES: [each if isinstance(each, list) else [each] for each in names]}
        return found

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return field.get("serialization_exclude_if") is None  # a default is sent as any other value
        return super().field_is_required(field, total)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return self._closed(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return self._closed(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return self._closed(super().typed_dict_schema(schema))

    def _closed(self, found: JsonSchemaValue) -> JsonSchemaValue:
        """Say of what is written that it has no further fields, unless the class says that it has."""
        if self.mode == "serialization" and "properties" in found:
            found.setdefault("additionalProperties", False)
            found.setdefault("required", [])
        return found


def _timed(found: JsonSchemaValue, schema: Any) -> JsonSchemaValue:
    bounds: dict[str, str] = {}
    for name in ("ge", "gt", "le", "lt"):
        bound = schema.get(name)
        if bound is not None:
            is_duration = isinstance(bound, timedelta)
            bounds[_BOUNDS[name]] = _DURATION.dump_python(bound, mode="json") if is_duration else bound.isoformat()
    if schema.get("now_op"):
        bounds["relative"] = schema["now_op"]
    if found.get("format") == "time" and schema.get("tz_constraint"):
        bounds["zone"] = str(schema["tz_constraint"])
    return {**found, TIME: bounds} if bounds else found


def _schemed(found: JsonSchemaValue, schema: Any) -> JsonSchemaValue:
    schemes = schema.get("allowed_schemes")
    return {**found, URL: {"schemes": sorted(schemes)}} if schemes else found


def written_schema(event_type: type[Event]) -> dict[str, Any]:
    """Return the schema of what the owner of `event_type` writes: all fields are there unless it leaves them out."""
    return _polished(event_type.model_json_schema(mode="serialization", schema_generator=_WireSchema))


def read_schema(event_type: type[Event]) -> dict[str, Any]:
    """Return the schema of what a view accepts. Fields that it does not know are passed over, which a schema cannot say."""
    return _polished(event_type.model_json_schema(mode="validation", schema_generator=_WireSchema))


def node_schema(node: Any) -> dict[str, Any]:
    """Return the schema of what is written of one node of a class's core schema."""
    return _polished(_WireSchema(by_alias=True).generate(node, mode="serialization"))


def _polished(root: dict[str, Any]) -> dict[str, Any]:
    def polish(schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        made: dict[str, Any] = mapped(schema, polish)
        if made.get("format") == "password":  # of secrets, which travel as any other text
            del made["format"]
        made.pop("writeOnly", None)
        if "propertyNames" in made and isinstance(schema["propertyNames"], dict):
            names = key_text(schema["propertyNames"], root)
            if names == {"type": "string"} or names == {}:
                del made["propertyNames"]
            else:
                made["propertyNames"] = names
        if made.get("properties") is not None and made.get("required") == [] and "required" not in schema:
            del made["required"]
        return made

    polished: dict[str, Any] = polish(root)
    return polished


def key_text(schema: Schema, root: Schema) -> dict[str, Any]:
    """Return the schema of a map's keys as they travel: as text, whatever their type."""
    if "$ref" in schema:
        return key_text(target(schema["$ref"], root), root)
    if "anyOf" in schema:
        return {"anyOf": [key_text(each, root) for each in schema["anyOf"]]}
    if "const" in schema or "enum" in schema:
        return {"enum": [_as_key(each) for each in schema.get("enum", [schema.get("const")])]}
    kind = schema.get("type")
    if kind == "boolean":
        return {"enum": ["true", "false"]}
    if kind in ("integer", "number"):
        bounds = {word: str(schema[word]) for word in _BOUNDS.values() if word in schema}
        return {"type": "string", "format": kind, **({DECIMAL: bounds} if bounds else {})}
    return {word: value for word, value in schema.items() if word not in ("title", "description", "examples")}


def _as_key(value: Any) -> str:
    return {True: "true", False: "false", None: "None"}.get(value, str(value)) if isinstance(value, bool) else str(value)
