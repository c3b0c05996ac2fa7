"""Built: what a user's `build` returns, in each of its forms, as services and what the check is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from weakref import WeakSet

from eventbus.service import Service
from eventbus.testing.simulation.errors import SimulationError

_used: WeakSet[Service] = WeakSet()
"""Services that a schedule had already."""
_FORMS = "a Service, several of them, (services, what the check is given), or an object with `services`"


class Maker:
    """Returns a service: the one that was given, or a new one each time where a function was given."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self.is_fixed = isinstance(given, Service)

    def __call__(self) -> Service:
        made = self._given if self.is_fixed else self._given()
        if not isinstance(made, Service):
            name = getattr(self._given, "__qualname__", repr(self._given))
            raise SimulationError(f"{name} returned {type(made).__name__} and no Service")
        return made


class Built:
    """One world as the user built it.

    Attributes:
        processes: what returns the services of each process; called again after it died. Services that share an inbox, an
            outbox or anything else that is attached live in one.
        subject: what the check is given.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        self._stack = ExitStack()
        made = build()
        if isinstance(made, AbstractContextManager) and not hasattr(made, "services"):
            made = self._stack.enter_context(made)
        elif isinstance(made, AbstractContextManager):
            self._stack.enter_context(made)
        services, self.subject = _taken_apart(made)
        self.services = [each for each in services if isinstance(each, Service)]
        for each in self.services:
            if each in _used:
                raise SimulationError(
                    f"build returned the service {each.name!r} a second time; it must build everything anew at each call, "
                    "what the handlers remember too"
                )
            _used.add(each)
        self.processes = [[Maker(each) for each in group] for group in _grouped(services)]
        if not self.processes:
            raise SimulationError(f"build returned no service; return {_FORMS}")

    def close(self) -> None:
        """Leave what `build` gave as a context manager."""
        self._stack.close()


def _taken_apart(made: Any) -> tuple[list[Any], Any]:
    if isinstance(made, tuple) and len(made) == 2 and not _is_service(made[1]):
        return _listed(made[0]), made[1]
    if _is_service(made) or isinstance(made, list | tuple | set | frozenset):
        return _listed(made), made
    services = getattr(made, "services", None)
    if services is None:
        raise SimulationError(f"build returned {type(made).__name__}; return {_FORMS}")
    return _listed(services() if callable(services) and not _is_service(services) else services), made


def _listed(services: Any) -> list[Any]:
    if _is_service(services):
        return [services]
    if isinstance(services, dict):
        services = services.values()
    found = list(services) if isinstance(services, Iterable) else [None]
    if not all(_is_service(each) for each in found):
        raise SimulationError(f"build returned something else than services; return {_FORMS}")
    return found


def _is_service(given: Any) -> bool:
    return isinstance(given, Service) or (callable(given) and not isinstance(given, type) and not hasattr(given, "services"))


def _grouped(services: list[Any]) -> list[list[Any]]:
    """Return services by process."""
    groups: list[list[Any]] = []
    for each in services:
        mine = {id(part) for part in each.attachments} if isinstance(each, Service) else set()
        beside = [group for group in groups if mine & _attached(group)]
        groups = [group for group in groups if group not in beside]
        groups.append([*(other for group in beside for other in group), each])
    return groups


def _attached(group: list[Any]) -> set[int]:
    return {id(part) for each in group if isinstance(each, Service) for part in each.attachments}
