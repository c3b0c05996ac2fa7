"""AsyncAPI: the whole system as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0).

AsyncAPI's channels are our topics. It has no binding for NSQ, so NSQ's channels stand in `x-nsq`, as the specification lets
extensions do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from eventbus.contracts.contract import Contract
from eventbus.contracts.dialect import mapped
from eventbus.contracts.views import View
from eventbus.event import event_info, event_topic

_CONTENT = "application/msgpack"
_FORMAT = "application/schema+json;version=draft-2020-12"


def asyncapi(contracts: Iterable[Contract], views: Iterable[View], *, title: str, version: str) -> dict[str, Any]:
    """Return the document: topics, messages, who publishes, and which channel of whom binds."""
    known = [contract for contract in contracts if contract.retired is None]
    reading = list(views)
    channels: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    keys = _Keys()
    for contract in known:
        short = keys.short(contract)
        topic_id = keys.of("channel", contract.topic)
        name = keys.of("message", contract.topic, short)  # two topics may carry events of one name
        payload, inner = _moved(contract.schema, name)
        schemas.update(inner)
        messages[name] = {
            "name": contract.type,
            "title": contract.name,
            "summary": str(contract.schema.get("description", "")),
            "contentType": _CONTENT,
            "headers": _HEADERS,
            "payload": {"schemaFormat": _FORMAT, "schema": payload},
            "examples": [{"payload": each} for each in contract.examples],
            "x-deprecated": contract.is_deprecated,
        }
        channel = channels.setdefault(topic_id, {"address": contract.topic, "messages": {}})
        channel["messages"][short] = {"$ref": f"#/components/messages/{name}"}
        operation = operations.setdefault(
            keys.of("operation", contract.owner, "send", contract.topic),
            {
                "action": "send",
                "title": f"{contract.owner} publishes to {contract.topic}",
                "channel": {"$ref": f"#/channels/{topic_id}"},
                "messages": [],
            },
        )
        operation["messages"].append({"$ref": f"#/channels/{topic_id}/messages/{short}"})
    for view in reading:
        topic, type_name = event_topic(view.event_type), event_info(view.event_type).name
        mine = [c for c in known if (c.topic, c.type) == (topic, type_name)]
        if not mine:
            continue
        topic_id = keys.of("channel", topic)
        operation = operations.setdefault(
            keys.of("operation", view.service, view.channel, "receive", topic),
            {
                "action": "receive",
                "title": f"{view.service} reads {topic} on its channel {view.channel}",
                "channel": {"$ref": f"#/channels/{topic_id}"},
                "messages": [],
                "bindings": {"x-nsq": {"channel": view.channel, "bindingVersion": "0.1.0"}},
            },
        )
        operation["messages"] += [{"$ref": f"#/channels/{topic_id}/messages/{keys.short(c)}"} for c in mine]
        nsq = channels[topic_id].setdefault("bindings", {}).setdefault("x-nsq", {"channels": [], "bindingVersion": "0.1.0"})
        if view.channel not in nsq["channels"]:
            nsq["channels"] = sorted([*nsq["channels"], view.channel])
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": "Made from the published contracts and the services."},
        "defaultContentType": _CONTENT,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


_HEADERS = {
    "type": "object",
    "description": "CloudEvents attributes of the envelope, beside the data; docs/wire-format.md has them all.",
    "properties": {name: {"type": "string"} for name in ("id", "source", "type", "time", "correlationid", "causationid")},
}


class _Keys:
    """Keys of the document: names as AsyncAPI has them, and never the same key for two."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, str], tuple[str, ...]] = {}

    def of(self, kind: str, *names: str) -> str:
        """Return the key of what has these names, among the keys of its kind."""
        key = ".".join(map(_id, names))
        if self._owners.setdefault((kind, key), names) != names:
            key += "-" + hashlib.sha256("\0".join(names).encode()).hexdigest()[:8]
        return key

    def short(self, contract: Contract) -> str:
        """Return the key of an event's version among its topic's."""
        return f"{self.of(f'type in {contract.topic}', contract.type)}.v{contract.version}"


def _moved(schema: Mapping[str, Any], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a schema whose definitions lie among the document's own, and these."""

    def walk(part: Any) -> Any:
        if not isinstance(part, Mapping):
            return part
        moved = {word: value for word, value in mapped(part, walk).items() if word != "$defs"}
        target = moved.get("$ref")
        if isinstance(target, str) and target.startswith("#/$defs/"):
            moved["$ref"] = f"#/components/schemas/{_key(name, target.removeprefix('#/$defs/'))}/schema"
        elif target == "#":
            moved["$ref"] = f"#/components/messages/{name}/payload/schema"
        if isinstance(moved.get("discriminator"), Mapping):  # the name of the tag alone; the variants have its values
            moved["discriminator"] = moved["discriminator"]["propertyName"]
        return moved

    inside = {
        _key(name, inner): {"schemaFormat": _FORMAT, "schema": walk(each)} for inner, each in schema.get("$defs", {}).items()
    }
    return walk(schema), inside


def _key(name: str, inner: str) -> str:
    return f"{name}.{_id(inner)}"


def _id(name: str) -> str:
    """Return a name as AsyncAPI has keys of components, which are parts of references too."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in name)
