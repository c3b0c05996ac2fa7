"""Targets: from names on a command line to event classes (`a.events`) and services (`a.app:service`)."""

from __future__ import annotations

import importlib
import sys
import tomllib
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from eventbus.errors import ConfigurationError
from eventbus.event import Event
from eventbus.service import Service

_OWN = Path(__file__).parent.parent


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


def services_of(targets: Iterable[str], *, is_factory: bool = False) -> list[Service]:
    """Return the services that `module:attribute` names; a list or tuple of services counts as all of them.

    Args:
        is_factory: the attribute is a function without parameters that returns services.

    Raises:
        ConfigurationError: says what is wrong with which target.
    """
    found: list[Service] = []
    for target in targets:
        value = attribute_of(target, "services.fulfillment:service")
        if is_factory:
            value = _call(target, value)
        several = [_attached(target, each) for each in (value if isinstance(value, list | tuple) else [value])]
        if not several or not all(isinstance(each, Service) for each in several):
            hint = "; it can be called: add --factory" if callable(value) and not isinstance(value, type) else ""
            raise ConfigurationError(
                f"{target}: is {type(value).__name__} and no eventbus.Service, nor a list of them{hint}"
            )
        found += several
    return found


def _attached(target: str, value: Any) -> Any:
    """Return an outbox or another attachment as a service that has nothing else; anything else as it is."""
    is_attachment = not isinstance(value, type) and all(hasattr(value, name) for name in ("start", "stop_intake", "stop"))
    if isinstance(value, Service) or not is_attachment:
        return value
    service = Service(getattr(value, "source", None) or target.rpartition(":")[2].rpartition(".")[2])
    service.attach(value)
    return service


def attribute_of(target: str, example: str) -> Any:
    """Return what `module:attribute` names.

    Raises:
        ConfigurationError: says what is wrong.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"{target}: write module:attribute, as {example}")
    value: Any = _import(module_name)
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError as error:
            names = [name for name in vars(value) if not name.startswith("_")] if isinstance(value, ModuleType) else []
            close = get_close_matches(part, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"{target}: {module_name} has no {attribute!r} ({error}){hint}") from None
        except Exception as error:
            raise ConfigurationError(f"{target}: cannot be made: {_reason(error)}") from error
    return value


def _call(target: str, value: Any) -> Any:
    if not callable(value):
        raise ConfigurationError(f"{target}: is {type(value).__name__} and cannot be called; leave --factory away")
    try:
        return value()
    except Exception as error:
        raise ConfigurationError(f"{target}: fails when it is called: {_reason(error)}") from error


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


def import_from(folder: Path | None = None) -> None:
    """Look for modules in `folder`, the current one unless given: an installed command does not.

    Raises:
        ConfigurationError: there is no such folder.
    """
    place = (folder or Path.cwd()).resolve()
    if not place.is_dir():
        raise ConfigurationError(f"{folder}: no such folder to import from")
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))


def _import(name: str) -> ModuleType:
    if not any(map(str.isidentifier, name.split("."))):
        raise ConfigurationError(f"{name}: is no name of a module; write it with dots, as services.fulfillment")
    import_from()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise ConfigurationError(f"{name}: no such module here ({missing} is not found); see --app-dir") from error
        raise ConfigurationError(f"{name}: cannot be imported: {_reason(error)}") from error
    except Exception as error:
        raise ConfigurationError(f"{name}: fails when it is imported: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what went wrong and where in the user's code: the last of its lines that is not of a library."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if _is_of_user(each.filename)]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}, line {error.lineno})"
        return f"SyntaxError: {error.msg}{place}"
    return f"{type(error).__name__}: {error}{place}"


def _is_of_user(filename: str) -> bool:
    return not filename.startswith("<") and "site-packages" not in filename and str(_OWN) not in filename


def _owner(module_name: str) -> str:
    parts = [part for part in module_name.split(".") if part not in ("events", "services", "contracts", "event")]
    return parts[-1] if parts else module_name
