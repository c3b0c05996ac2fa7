"""Targets: from names on a command line to event classes (`a.events`) and services (`a.app:service`)."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from eventbus.errors import ConfigurationError
from eventbus.event import Event
from eventbus.service import Service


def owned_events(module_names: Iterable[str]) -> list[tuple[type[Event], str]]:
    """Return the event classes that modules own (those with a version), each with its owner.

    The owner of `services.orders.events` is `orders`: the last part of the name that does not say what every module says.

    Raises:
        ConfigurationError: a module cannot be imported, or owns no event.
    """
    found: list[tuple[type[Event], str]] = []
    for name in module_names:
        module_name, _, given = name.partition("=")
        module = _import(module_name)
        owner = given or _owner(module_name)
        mine = [
            each
            for each in vars(module).values()
            if isinstance(each, type)
            and issubclass(each, Event)
            and each.__module__ == module.__name__
            and each.__event_info__.is_owned
            and each.__event_info__.topic is not None
        ]
        if not mine:
            raise ConfigurationError(f"{module_name}: owns no event; an owner's class has version=1 or more and a topic")
        found += [(each, owner) for each in mine]
    return found


def services_of(targets: Iterable[str]) -> list[Service]:
    """Return the services that `module:attribute` names; a list or tuple of services counts as all of them.

    Raises:
        ConfigurationError: says what is wrong with which target.
    """
    found: list[Service] = []
    for target in targets:
        module_name, _, attribute = target.partition(":")
        if not attribute:
            raise ConfigurationError(f"{target}: write module:attribute, as services.fulfillment:service")
        module = _import(module_name)
        try:
            value: Any = module
            for part in attribute.split("."):
                value = getattr(value, part)
        except AttributeError as error:
            raise ConfigurationError(f"{target}: {module_name} has no {attribute!r} ({error})") from None
        several = value if isinstance(value, list | tuple) else [value]
        if not several or not all(isinstance(each, Service) for each in several):
            raise ConfigurationError(f"{target}: is {type(value).__name__} and no eventbus.Service, nor a list of them")
        found += several
    return found


def configured(given: list[str] | None, key: str) -> list[str]:
    """Return what was given, or the list `key` of `[tool.eventbus]` in the pyproject.toml of the current folder.

    Raises:
        ConfigurationError: nothing was given, and there is no such list.
    """
    if given:
        return given
    path = Path("pyproject.toml")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    value = found.get("tool", {}).get("eventbus", {}).get(key)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ConfigurationError(f"give {key}, or write them to pyproject.toml: [tool.eventbus] {key} = [...]")
    return value


def _import(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:  # an installed command does not look where it was started
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(f"{name}: cannot be imported: {error}") from error
    except Exception as error:
        raise ConfigurationError(f"{name}: fails when it is imported: {type(error).__name__}: {error}") from error


def _owner(module_name: str) -> str:
    parts = [part for part in module_name.split(".") if part not in ("events", "services", "contracts", "event")]
    return parts[-1] if parts else module_name
