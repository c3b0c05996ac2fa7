"""Binders: take the handler of one event, as a decorator or as a call, and keep its types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, overload

from eventbus.context import Context
from eventbus.event import Event

E = TypeVar("E", bound=Event)
C = TypeVar("C", bound=Context)
R = TypeVar("R", bound=Event | Sequence[Event] | None)


class Binder(Generic[E, C]):
    """Takes the handler of one event, whose context is a `C`; use it as a decorator or call it with a bound method."""

    def __init__(self, bind: Callable[[Callable[..., Any]], None]) -> None:
        self._bind = bind

    @overload
    def __call__(self, handler: Callable[[E], R]) -> Callable[[E], R]: ...
    @overload
    def __call__(self, handler: Callable[[E, C], R]) -> Callable[[E, C], R]: ...
    def __call__(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        self._bind(handler)
        return handler


class BatchBinder(Generic[E, C]):
    """Takes the handler of lists of one event."""

    def __init__(self, bind: Callable[[Callable[..., Any]], None]) -> None:
        self._bind = bind

    @overload
    def __call__(self, handler: Callable[[list[E]], R]) -> Callable[[list[E]], R]: ...
    @overload
    def __call__(self, handler: Callable[[list[E], list[C]], R]) -> Callable[[list[E], list[C]], R]: ...
    def __call__(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        self._bind(handler)
        return handler
