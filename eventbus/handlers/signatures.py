"""Signatures: whether a function can handle an event, found out when it is bound and not when the first event comes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from eventbus.context import Context
from eventbus.errors import HandlerDefinitionError
from eventbus.event import Event


def check_signature(
    handler: Callable[..., Any],
    event_type: type[Event],
    *,
    is_batch: bool,
    service: str,
    context_type: type[Context] = Context,
) -> bool:
    """Return whether the handler takes a context; raise HandlerDefinitionError when it does not fit."""
    name = getattr(handler, "__qualname__", repr(handler))
    wanted = f"list[{event_type.__name__}]" if is_batch else event_type.__name__
    where = f"{service}: handler {name} of {event_type.__name__}"
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        raise HandlerDefinitionError(f"{where}: no function; give a function or a bound method") from None
    if inspect.iscoroutinefunction(handler) or inspect.isgeneratorfunction(handler):
        raise HandlerDefinitionError(f"{where}: a coroutine or generator would not run; give a plain function")
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if not 1 <= len(required) <= 2 or keywords:
        names = ", ".join([p.name for p in required] + keywords)
        raise HandlerDefinitionError(
            f"{where}: it needs ({names}); a handler takes (event: {wanted}) or (event: {wanted}, context: Context)"
        )
    hints = _hints(handler, event_type)
    _check_annotation(required[0], hints, event_type, is_batch, f"{where}: parameter {required[0].name!r}", wanted)
    if len(required) == 2:
        name = context_type.__name__
        _check_annotation(
            required[1],
            hints,
            context_type,
            is_batch,
            f"{where}: parameter {required[1].name!r}",
            f"list[{name}]" if is_batch else name,
        )
    return len(required) == 2


def _hints(handler: Callable[..., Any], event_type: type[Event]) -> dict[str, Any]:
    function = getattr(handler, "__func__", handler)
    try:
        return typing.get_type_hints(function, localns={event_type.__name__: event_type, "Context": Context})
    except Exception:  # a name that only a type checker sees; the annotations stay text then
        return dict(getattr(function, "__annotations__", {}))


def _check_annotation(
    parameter: inspect.Parameter, hints: dict[str, Any], wanted: type[Any], is_batch: bool, where: str, text: str
) -> None:
    hint = hints.get(parameter.name)
    if hint is None or hint is Any or isinstance(hint, TypeVar | str):
        return  # a text that cannot be resolved here is the type checker's business
    if is_batch:
        arguments = typing.get_args(hint)
        fits = typing.get_origin(hint) in (list, Sequence) and bool(arguments) and _takes(arguments[0], wanted)
    else:
        fits = _takes(hint, wanted)
    if not fits:
        shown = getattr(hint, "__name__", str(hint))
        raise HandlerDefinitionError(f"{where} is annotated {shown}, but it is given {text}")


def _takes(hint: Any, wanted: type[Any]) -> bool:
    if hint is Any:
        return True
    if isinstance(hint, type):
        return issubclass(wanted, hint)
    return any(_takes(part, wanted) for part in typing.get_args(hint)) if typing.get_origin(hint) is not list else False
