"""Personal: fields that say something of a person are marked where they are declared, and hidden wherever people look.

    email: Personal[str]
    lines: tuple[Personal[str], ...]

The mark is part of the class, so nothing searches texts for what looks like an address. `repr` of an event hides marked
values. The paths of all marked fields travel with the event, in the attribute `personal`, so that tools which know no class
hide them too. Handlers, contracts and the wire itself are given the values as ever: a mark is no encryption.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from eventbus.wire.envelope import MAX_ATTRIBUTE_LENGTH

KEYWORD = "x-personal"
"""Keyword of a schema whose values are personal."""
HIDDEN = "(personal)"
"""What is shown in the place of a personal value."""
_EACH = "*"
"""Part of a path: each entry of a list or a mapping."""
_DEEPEST = 16

T = TypeVar("T")
Path = tuple[str, ...]
_Places = dict[str | None, Any]
"""Names, each with the places below it; None where a path ends."""


class PersonalMark:
    """What `Personal[...]` puts into an annotation."""

    def __repr__(self) -> str:
        return "Personal"

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), KEYWORD: True}


Personal = Annotated[T, PersonalMark()]
"""`Personal[str]`: a value of that type that says something of a person."""


@functools.lru_cache(maxsize=1000)
def personal_fields(model: type[BaseModel]) -> str:
    """Return the paths of the personal fields of a class as they travel: names on the wire joined by points, `*` for each
    entry of a list or a mapping, and commas between paths. Empty where there are none.

    Where all paths together are longer than an attribute may be, whole fields stand for what is in them.
    """
    paths = sorted({path for path, _ in _in_model(model, ())})
    for depth in (_DEEPEST, 1, 0):
        text = ",".join(dict.fromkeys(".".join(path[:depth] or (_EACH,)) for path in paths))
        if len(text) <= MAX_ATTRIBUTE_LENGTH:
            break
    return text


@functools.lru_cache(maxsize=1000)
def _hidden_in_repr(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of the fields whose values would not hide what is personal in them by themselves."""
    hidden = set()
    for name, field in model.model_fields.items():
        if any(not hides_itself for _, hides_itself in _in_field(field, (), (model,))):
            hidden.add(name)
    for name, computed in model.model_computed_fields.items():
        if any(not hides_itself for _, hides_itself in _in_type(computed.return_type, (), (model,))):
            hidden.add(name)
    return frozenset(hidden)


class HidesPersonal(BaseModel):
    """Base of what hides its personal fields in its own `repr`."""

    def __repr_args__(self) -> Any:
        hidden = _hidden_in_repr(type(self)) if type(self).__pydantic_complete__ else frozenset()
        for name, value in super().__repr_args__():
            yield name, _Hidden() if name in hidden and value is not None else value


class _Hidden:
    def __repr__(self) -> str:
        return HIDDEN


def hide(data: Any, paths: str) -> Any:
    """Return data of an event, of JSON types, with `HIDDEN` wherever one of the paths leads.

    Args:
        paths: as `personal_fields` gives them. Whatever a stranger wrote there hides more or less, and breaks nothing.
    """
    hidden: _Places = {}
    for path in paths.split(","):
        place = hidden
        for name in path.split("."):
            place = place.setdefault(name, {})
        place[None] = {}
    return _without(data, [hidden])


def _without(data: Any, hidden: list[_Places]) -> Any:
    if any(None in each for each in hidden):
        return None if data is None else HIDDEN
    if isinstance(data, Mapping):
        return {key: _without(value, _below(hidden, key)) for key, value in data.items()}
    if isinstance(data, list | tuple):
        below = _below(hidden, _EACH)
        return [_without(value, below) for value in data] if below else data
    return data


def _below(hidden: list[_Places], key: Any) -> list[_Places]:
    return [each[name] for each in hidden for name in {str(key), _EACH} if name in each]


# -- what a class says --------------------------------------------------------------------------------------------------


def _in_model(model: type[BaseModel], above: tuple[type, ...]) -> Iterator[tuple[Path, bool]]:
    """Yield the paths of personal fields, each with whether something on its way hides it by itself."""
    for name, field in model.model_fields.items():
        written = field.serialization_alias or field.alias or name
        yield from _in_field(field, (_part(written),), (*above, model))
    for name, computed in model.model_computed_fields.items():
        yield from _in_type(computed.return_type, (_part(computed.alias or name),), (*above, model))


def _in_field(field: FieldInfo, path: Path, above: tuple[type, ...]) -> Iterator[tuple[Path, bool]]:
    if any(isinstance(each, PersonalMark) for each in field.metadata):
        yield path, False
    else:
        yield from _in_type(field.annotation, path, above)


def _in_type(kind: Any, path: Path, above: tuple[type, ...]) -> Iterator[tuple[Path, bool]]:
    if len(path) >= _DEEPEST:
        return
    if get_origin(kind) is Annotated:
        kind, *marks = get_args(kind)
        if any(isinstance(each, PersonalMark) for each in marks):
            yield path, False
        else:
            yield from _in_type(kind, path, above)
    elif hasattr(kind, "__value__"):  # type Name = ...
        yield from _in_type(kind.__value__, path, above)
    elif hasattr(kind, "__supertype__"):  # NewType
        yield from _in_type(kind.__supertype__, path, above)
    elif isinstance(kind, type) and get_origin(kind) is None:
        yield from _in_class(kind, path, above)
    else:
        yield from _in_parts(kind, path, above)


def _in_parts(kind: Any, path: Path, above: tuple[type, ...]) -> Iterator[tuple[Path, bool]]:
    """Look through a union, a list or a mapping."""
    origin = get_origin(kind)
    parts = get_args(kind)
    if not isinstance(origin, type) or origin.__module__ in ("types", "typing"):  # a union, or a generic alias
        for part in parts:
            yield from _in_type(part, path, above)
        return
    if issubclass(origin, Mapping) and len(parts) == 2:
        if any(True for _ in _in_type(parts[0], path, above)):
            yield path, False  # who is hidden as a key is hidden with the whole
        parts = parts[1:]
    for part in parts:
        yield from _in_type(part, (*path, _EACH), above)


def _in_class(kind: type, path: Path, above: tuple[type, ...]) -> Iterator[tuple[Path, bool]]:
    if kind in above:  # it holds itself: the whole is hidden where anything in it is
        if any(True for _ in _in_class(kind, (), tuple(each for each in above if each is not kind))):
            yield path, False
        return
    if issubclass(kind, BaseModel):
        root = getattr(kind, "__pydantic_root_model__", False)
        for inner, hides_itself in _in_model(kind, above):
            yield path + (inner[1:] if root else inner), hides_itself or issubclass(kind, HidesPersonal)
        return
    if not (dataclasses.is_dataclass(kind) or hasattr(kind, "__total__") or hasattr(kind, "_fields")):
        return
    is_tuple = issubclass(kind, tuple)
    for name, hint in get_type_hints(kind, include_extras=True).items():
        yield from _in_type(hint, (*path, _EACH if is_tuple else _part(name)), (*above, kind))


def _part(name: str) -> str:
    """Return a name as part of a path; what cannot be written there stands for all its siblings."""
    return name if name and name.isprintable() and not {".", ",", _EACH} & set(name) else _EACH
