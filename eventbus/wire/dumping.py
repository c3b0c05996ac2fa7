"""Dumping: an event's data as JSON types, as they travel. What a reader could not take is refused before it is sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from eventbus.errors import DecodeError, EncodeError
from eventbus.wire.field_types import write_instant
from eventbus.wire.limits import DEFAULT_LIMITS, walk
from eventbus.wire.writing import WritePlan, plan_of


def dump(event: BaseModel) -> Any:
    """Return the data of an event as JSON types (UUID, Decimal and datetime as text, datetimes in UTC).

    What a reader could not take or would take for something else is refused here, before anything is sent.

    Raises:
        EncodeError: when a field holds what pydantic cannot serialise or no reader takes; names it.
    """
    kind = type(event)
    try:
        plan = kind.__dict__["__wire_plan__"]
    except KeyError:
        plan = plan_of(kind)
    try:
        if plan is None:
            return kind.__pydantic_serializer__.to_python(event, mode="json")
        if plan.is_plain:
            data = kind.__pydantic_serializer__.to_python(event, mode="json")
            for _, key in plan.instants:
                text = data.get(key)
                if text is not None and text[-1] != "Z":
                    return _dump_with_care(event, plan)
            return data
        return _dump_with_care(event, plan)
    except EncodeError:
        raise
    except Exception as error:  # pydantic's own, and what a field's serializer raises, such as OverflowError of a year 0
        raise EncodeError(
            f"{kind.__name__}: {error}; give the field a type that JSON has", event_name=kind.__name__
        ) from error


def _dump_with_care(event: BaseModel, plan: WritePlan) -> Any:
    kind = type(event)
    write = kind.__pydantic_serializer__.to_python
    data = write(event, mode="json", by_alias=True) if plan.is_aliased else write(event, mode="json")
    for name, key in plan.instants:
        text = data.get(key)
        if text is not None and text[-1:] != "Z":
            value = getattr(event, name)
            if type(text) is str and isinstance(value, datetime):
                data[key] = write_instant(value)
    if plan.is_walked:
        try:
            walk(data, DEFAULT_LIMITS, depth=1)
        except DecodeError as error:
            raise EncodeError(f"{kind.__name__}: no reader takes it: {error.reason}", event_name=kind.__name__) from None
    if plan.lookalikes:
        _read_back(event, data, plan.lookalikes)
    for name, key in plan.untyped:
        value = getattr(event, name)
        if value is not None and value != data.get(key, value):
            _check_keys(kind, name, value, data)
    return data


def _check_keys(kind: type[BaseModel], name: str, value: Any, data: Any) -> None:
    """Refuse keys that would be read as text: 1 as "1", which two keys may become."""
    changed = changed_key(value, getattr(_read(kind, data), name))
    if changed is not None:
        raise EncodeError(
            f"{kind.__name__}: field {name!r} holds a map with the key {changed}, and keys travel as text: give it keys "
            "that are text, or the field a type that says what they are, as dict[int, str]",
            event_name=kind.__name__,
        )


def changed_key(sent: Any, read: Any) -> str | None:
    """Return, as its repr, a key of a map that was sent and is not in what was read; None where there is none."""
    if isinstance(sent, dict) and isinstance(read, dict):
        for key in sent:
            if key not in read:
                return repr(key)
        pairs = [(value, read[key]) for key, value in sent.items()]
    elif isinstance(sent, list | tuple) and isinstance(read, list | tuple):
        pairs = list(zip(sent, read, strict=False))
    elif isinstance(sent, BaseModel):
        pairs = [(value, read.get(name) if isinstance(read, dict) else getattr(read, name, None)) for name, value in sent]
    else:
        return None
    return next((found for each in pairs if (found := changed_key(*each)) is not None), None)


def _read_back(event: BaseModel, data: Any, names: tuple[str, ...]) -> None:
    """Refuse what a reader would take for another member of a union."""
    kind = type(event)
    back = _read(kind, data)
    for name in names:
        sent, read = getattr(event, name), getattr(back, name)
        if not same(sent, read):
            raise EncodeError(
                f"{kind.__name__}: field {name!r} holds a {type(sent).__name__} that would be read as "
                f"{type(read).__name__}: the members of its union look alike on the wire; give each a field of its own, "
                "or a model with a tag",
                event_name=kind.__name__,
            )


def _read(kind: type[BaseModel], data: Any) -> BaseModel:
    try:
        back: BaseModel = kind.__pydantic_validator__.validate_python(data, extra="ignore")
    except ValidationError as error:
        raise EncodeError(f"{kind.__name__}: it cannot be read back: {error}", event_name=kind.__name__) from None
    return back


def same(sent: Any, read: Any) -> bool:
    """Whether a value was read as what was sent: equal and of the same types throughout; excluded fields do not count."""
    if type(sent) is not type(read):
        return False
    if isinstance(sent, BaseModel):
        fields = type(sent).model_fields.items()
        return all(same(getattr(sent, name), getattr(read, name)) for name, field in fields if not field.exclude)
    if isinstance(sent, dict):
        return sent.keys() == read.keys() and all(same(value, read[key]) for key, value in sent.items())
    if isinstance(sent, list | tuple):
        return len(sent) == len(read) and all(map(same, sent, read))
    return bool(sent == read)
