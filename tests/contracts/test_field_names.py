"""Names of fields are the user's: a field may be named as any word of pydantic's schemas or of JSON Schema."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from pydantic import SecretStr, ValidationError, create_model

from eventbus import ContractError, EncodeError, Event, Value
from eventbus.contracts import View, check_views, contract_of, differences, read_contract
from eventbus.contracts.schema import read_schema
from eventbus.wire.codec import dump

WORDS = (
    *("ref", "schema_ref", "type", "cls", "config", "metadata", "default", "serialization", "fields", "choices"),
    *("alias", "serialization_alias", "validation_alias", "function", "expected", "definitions", "extra_behavior"),
    *("required", "properties", "items", "enum", "const", "anyOf", "title", "description", "examples", "format"),
    *("discriminator", "deprecated", "custom_error_type", "custom_error_context", "tz_constraint"),
)


def _event(fields: dict[str, Any], *, is_nested: bool) -> type[Event]:
    keywords: dict[str, Any] = {"topic": "named", "version": 1}
    if is_nested:
        inner: Any = create_model("Inner", __base__=Value, **fields)
        fields = {"inner": (inner, ...)}
    made: type[Event] = create_model("Named", __base__=Event, __cls_kwargs__=keywords, **fields)
    return made


@pytest.mark.parametrize("is_nested", [False, True], ids=["own", "nested"])
@pytest.mark.parametrize("word", WORDS)
def test_a_field_of_any_name_travels_as_any_other(word: str, is_nested: bool) -> None:
    def both(kind: Any, value: Any) -> Any:
        event_type = _event({word: (kind, ...), "other": (int, 1)}, is_nested=is_nested)
        contract = read_contract(contract_of(event_type, "o").to_json(), "file")
        assert differences(contract.schema, read_schema(event_type)) == []
        assert check_views([View("r", "r", "read", event_type)], [contract]) == []
        made = event_type.model_validate({"inner": {word: value}} if is_nested else {word: value})
        sent = dump(made)
        assert event_type.model_validate(sent) == made
        return sent["inner"][word] if is_nested else sent[word]

    here = timezone(timedelta(hours=5))
    assert both(bytes, b"\xff") == "/w=="
    assert both(SecretStr, "hush") == "hush"
    assert both(datetime, datetime(2026, 1, 31, 17, tzinfo=here)) == "2026-01-31T12:00:00Z"
    assert both(dict[str, datetime], {"ref": datetime(2026, 1, 31, 17, tzinfo=here)}) == {"ref": "2026-01-31T12:00:00Z"}
    naive = {word: datetime(2026, 1, 31, tzinfo=UTC).replace(tzinfo=None)}
    with pytest.raises(ValidationError, match="timezone"):
        _event({word: (datetime, ...)}, is_nested=is_nested).model_validate({"inner": naive} if is_nested else naive)


@pytest.mark.parametrize("keys", [int | str, str | None, Literal[1, "1"], bool | int])
def test_a_map_has_keys_of_one_type(keys: Any) -> None:
    event_type = _event({"counts": (dict[keys, int], ...)}, is_nested=False)
    with pytest.raises(ContractError, match="field `counts` is a map with keys of several types"):
        contract_of(event_type, "o")
    assert dump(event_type.model_validate({"counts": {}})) == {"counts": {}}
    if keys != bool | int:
        with pytest.raises(EncodeError, match="counts"):
            dump(event_type.model_validate({"counts": {None if keys == str | None else 1: 1}}))


def test_texts_of_several_kinds_are_of_one_type() -> None:
    event_type = _event({"counts": (dict[Literal["a"] | Literal["b"], int], ...)}, is_nested=False)
    assert contract_of(event_type, "o").examples
