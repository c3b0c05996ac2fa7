"""Real events of others as modules of event classes: GitHub's webhooks, and those of openedx-events.

GitHub publishes JSON Schemas (npm's `@octokit/webhooks-schemas`), of which datamodel-code-generator makes classes, as a user
would. Open edX has classes of attrs, whose fields are taken as they stand.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from operator import or_
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import Field, create_model

from eventbus import Event, Value
from tests.contracts.test_documents import ROOT, missing

SCHEMAS = ROOT / "tools" / "asyncapi" / "node_modules" / "@octokit" / "webhooks-schemas" / "schema.json"


def github_schemas() -> dict[str, Any]:
    """Return GitHub's schemas by name, or skip where they are not here."""
    if not SCHEMAS.is_file():
        missing("GitHub's schemas are not here; npm ci --prefix tools/asyncapi")
    found: dict[str, Any] = json.loads(SCHEMAS.read_text())["definitions"]
    return found


def github(folder: Path, events: tuple[str, ...]) -> ModuleType:
    """Return a module of event classes, made of GitHub's schemas and written to `folder`."""
    definitions = github_schemas()
    try:
        generator: Any = importlib.import_module("datamodel_code_generator")
    except ImportError:
        missing("datamodel-code-generator is not here; make test installs it")
    needed: dict[str, None] = {}
    waiting = list(events)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = None
            waiting += re.findall(r'"#/definitions/([^"]+)"', json.dumps(definitions[name]))
    document = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {name: {**definitions[name], "title": _class_name(name)} for name in sorted(needed)},
        "oneOf": [{"$ref": f"#/definitions/{name}"} for name in events],
    }
    path = folder / "github_events.py"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator.generate(
            json.dumps(document),
            input_file_type=generator.InputFileType.JsonSchema,
            output=path,
            output_model_type=generator.DataModelType.PydanticV2BaseModel,
            base_class="eventbus.Value",
            target_python_version=generator.PythonVersion.PY_311,
            formatters=[],
            use_title_as_name=True,
            use_annotated=True,
        )
    text = path.read_text().replace("from eventbus import Value", "import eventbus\nfrom eventbus import Value")
    for name in events:
        head = f"class {_class_name(name)}(Value):"
        assert head in text, head
        text = text.replace(
            head, f'class {_class_name(name)}(eventbus.Event, topic="github.{name.partition("$")[0]}", version=1):'
        )
    path.write_text(text)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("github_events")
    finally:
        sys.path.remove(str(folder))


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", name))


def openedx() -> ModuleType:
    """Return a module of event classes, one for each signal of openedx-events."""
    try:
        settings: Any = importlib.import_module("django.conf").settings
        if not settings.configured:
            settings.configure()
        for part in ("analytics", "content_authoring", "enterprise", "learning"):
            importlib.import_module(f"openedx_events.{part}.signals")
        signals = importlib.import_module("openedx_events.tooling").OpenEdxPublicSignal.all_events()
    except ImportError:
        missing("openedx-events is not here; make test installs it")
    module = ModuleType("openedx_classes")
    sys.modules[module.__name__] = module
    classes: dict[type, Any] = {}
    for signal in signals:
        name = "".join(part.capitalize() for part in re.split(r"\W+", signal.event_type.removeprefix("org.openedx.")))
        keywords = {
            **{"topic": f"openedx.{signal.event_type.split('.')[2]}", "version": 1, "name": signal.event_type},
        }
        fields: Any = {field: (_kind(kind, classes), ...) for field, kind in signal.init_data.items()}
        made = create_model(
            name, __base__=Event, __cls_kwargs__=keywords, __module__=module.__name__, __doc__=signal.__doc__, **fields
        )
        setattr(module, name, made)
    return module


def _kind(kind: Any, classes: dict[type, Any]) -> Any:
    """Return a type that an event may hold: keys of courses travel as text, attrs classes as values."""
    if kind in (str, int, float, bool, bytes, datetime, NoneType, Any):
        return kind
    if kind is dict:
        return dict[str, Any]
    if kind is list:
        return list[Any]
    origin, parts = get_origin(kind), tuple(_kind(each, classes) for each in get_args(kind))
    if origin in (Union, UnionType):
        return reduce(or_, parts)
    if origin in (list, dict):
        return origin[parts]
    if not hasattr(kind, "__attrs_attrs__"):
        return str
    if kind not in classes:
        classes[kind] = create_model(kind.__name__, __base__=Value, __doc__=kind.__doc__, **dict(_fields(kind, classes)))
    return classes[kind]


def _fields(kind: Any, classes: dict[type, Any]) -> Iterator[tuple[str, Any]]:
    for each in kind.__attrs_attrs__:
        made, default = _kind(each.type, classes), each.default
        if default is None:
            yield each.name, (made | None, None)
        elif hasattr(default, "factory"):
            yield each.name, (made, Field(default_factory=default.factory))
        else:
            yield each.name, (made, ... if type(default).__name__ == "_Nothing" or repr(default) == "NOTHING" else default)
