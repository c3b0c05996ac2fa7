"""Writing: what must be looked at each time that an event of one class is written, found once for each class.

Of most classes nothing: what they are made of proves that each value can be read again. The others are looked at where a
value could not: names on the wire that differ from the fields', unions whose members look alike on the wire, and whatever
may be too deep for a reader or no number of JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from eventbus.wire.field_types import Node, check_nested, is_base64, is_secret, parts

_DEEPEST = 31
"""Maps and arrays inside one another in an event's data: a reader takes 32, and the envelope is one."""


@dataclass(frozen=True, slots=True)
class WritePlan:
    """What is looked at for each event of a class.

    Attributes:
        is_aliased: fields are written under other names.
        instants: the event's own datetimes, which are sent as UTC: the field and its name on the wire.
        lookalikes: fields with unions whose members look alike on the wire; they are read back and compared.
        untyped: fields with maps whose keys may be anything, and their names on the wire: keys travel as text.
        is_walked: depth and numbers are not proved by the class.
    """

    is_aliased: bool
    instants: tuple[tuple[str, str], ...]
    lookalikes: tuple[str, ...]
    untyped: tuple[tuple[str, str], ...]
    is_walked: bool
    is_plain: bool = False
    """There are datetimes, and nothing else is looked at."""


def plan_of(event_type: type[BaseModel]) -> WritePlan | None:
    """Return what is looked at when an event of the class is written; None for nothing. Asked once for each class.

    Raises:
        EventDefinitionError: it is made of what does not survive the wire, which a class with names that were not yet known
            could not tell when it was made.
    """
    try:
        plan: WritePlan | None = event_type.__dict__["__wire_plan__"]
    except KeyError:
        plan = _make(event_type)
        type.__setattr__(event_type, "__wire_plan__", plan)
    return plan


def _make(event_type: type[BaseModel]) -> WritePlan | None:
    check_nested(event_type)
    tree = Tree(event_type.__pydantic_core_schema__)
    fields = tree.fields()
    names = {name: field.get("serialization_alias", name) for name, field in fields.items()}
    if "serialization" in event_type.__pydantic_core_schema__ or "serialization" in tree.root:
        names = {}  # a serializer of the class returns names of its own
    plan = WritePlan(
        is_aliased=any("serialization_alias" in node or "alias" in node for node in tree.below(tree.root)),
        instants=tuple((name, key) for name, key in names.items() if _is_left_alone(_unwrapped(fields[name]["schema"]))),
        lookalikes=tuple(
            name for name, field in fields.items() if any(tree.is_lookalike(node) for node in tree.below(field["schema"]))
        ),
        untyped=tuple(
            (name, key) for name, key in names.items() if any(map(_has_any_keys, tree.below(fields[name]["schema"])))
        ),
        is_walked=tree.depth(tree.root, ()) > _DEEPEST or not tree.is_finite(tree.root, is_safe=False, seen=()),
    )
    if plan.is_aliased or plan.lookalikes or plan.untyped or plan.is_walked:
        return plan
    return replace(plan, is_plain=True) if plan.instants else None


def _is_left_alone(node: Node) -> bool:
    return node.get("type") == "datetime" and "serialization" not in node


def _has_any_keys(node: Node) -> bool:
    """Whether a node may hold a map whose keys nobody has looked at: it is `Any`, a bare `dict`, or a map by `Any`."""
    return node.get("type") == "any" or (node.get("type") == "dict" and "keys_schema" not in node)


def _nodes(node: Any) -> Iterator[Node]:
    """Yield all nodes of a core schema, itself first."""
    if isinstance(node, dict):
        yield node
        for _, value in parts(node):
            yield from _nodes(value)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _nodes(each)


def _key_kinds(core: Node) -> set[str]:
    return {type(each).__name__ for each in core["expected"]} if core.get("type") == "literal" else {str(core.get("type"))}


def _wrappers(node: Node) -> Iterator[Node]:
    yield node
    for key in _INSIDE:
        if isinstance(node.get(key), dict):
            yield from _wrappers(node[key])


def _unwrapped(node: Node) -> Node:
    while node.get("type") in ("default", "nullable"):
        node = node["schema"]
    return node


_TEXTS = frozenset(
    {"uuid", "date", "datetime", "time", "timedelta", "url", "multi-host-url", "decimal", "enum", "complex", "custom-error"}
)
_ARRAYS = frozenset({"list", "tuple", "set", "frozenset", "generator", "named-tuple", "deque"})
_MAPS = frozenset({"dict", "typed-dict", "model", "dataclass", "frozendict", "ordered-dict", "counter"})
_INSIDE = ("schema", "lax_schema", "python_schema")
_LEAVES = frozenset({"str", "int", "bool", "none", "literal", "float", *_TEXTS})


class Tree:
    """A core schema with its definitions."""

    def __init__(self, schema: Any) -> None:
        self.definitions: dict[str, Node] = {node["ref"]: node for node in _nodes(schema) if "ref" in node}
        self.root: Node = schema["schema"] if schema.get("type") == "definitions" else schema

    def resolved(self, node: Node) -> Node:
        """Return the node that a reference means."""
        while node.get("type") == "definition-ref":
            node = self.definitions[node["schema_ref"]]
        return node

    def core(self, node: Node) -> Node:
        """Return what a node is below its defaults, validators and references."""
        while True:
            node = self.resolved(node)
            if is_base64(node) or is_secret(node):
                return node
            inner = next((node[key] for key in _INSIDE if isinstance(node.get(key), dict)), None)
            if inner is None or node.get("type") in _MAPS or node.get("type") == "model-fields":
                return node
            node = inner

    def fields(self) -> dict[str, Node]:
        """Return the fields of the class itself, by name."""
        node = self.resolved(self.root)
        while "fields" not in node and isinstance(node.get("schema"), dict):
            node = self.resolved(node["schema"])
        found = node.get("fields", {})
        return found if isinstance(found, dict) else {}

    def below(self, node: Node) -> Iterator[Node]:
        """Yield all nodes that a node is made of, references followed once."""
        seen: set[str] = set()
        waiting: list[Node] = [node]
        while waiting:
            for each in _nodes(waiting.pop()):
                yield each
                target = each.get("schema_ref") if each.get("type") == "definition-ref" else None
                if target is not None and target not in seen:
                    seen.add(target)
                    waiting.append(self.definitions[target])

    def is_lookalike(self, node: Node) -> bool:
        """Whether what a node holds may be read as something else: as another member of a union, or not at all."""
        if node.get("type") == "model" and "__event_info__" in getattr(node.get("cls"), "__dict__", {}):
            return node is not self.resolved(self.root)
        if _is_unchecked(node) or self.has_mixed_keys(node):
            return True
        if node.get("type") != "union" or "custom_error_type" in node:
            return False
        kinds = [self.kind(each[0] if isinstance(each, tuple) else each) for each in node["choices"]]
        families = [_family(kind) for kind in kinds]
        if families.count("map") > 1 and families.count("map") == kinds.count("model"):
            members = [self.core(each[0] if isinstance(each, tuple) else each) for each in node["choices"]]
            models = [each for each in members if each.get("type") == "model"]
            if any(not self._told_apart(a, b) for place, a in enumerate(models) for b in models[place + 1 :]):
                return True
            families = [each for each in families if each != "map"]
        typed = families.count("typed text")
        others = len(families) - typed - kinds.count("none")
        return (
            (typed > 0 and (typed > 1 or others > 0))
            or families.count("array") > 1
            or families.count("map") > 1
            or ("anything" in families and len(families) > 1)
        )

    def has_mixed_keys(self, node: Node) -> bool:
        """Whether a map has keys of several types: all of them travel as text, in which 1 is "1" and None is "None"."""
        keys = node.get("keys_schema") if node.get("type") == "dict" else None
        if keys is None:
            return False
        if any(each.get("type") == "nullable" for each in _wrappers(keys)):
            return True
        core = self.core(keys)
        members = [each[0] if isinstance(each, tuple) else each for each in core.get("choices", [core])]
        kinds = {kind for each in members for kind in _key_kinds(self.core(each))}
        return len(kinds) > 1

    def kind(self, node: Node) -> str:
        """Return the type of what a node is below its wrappers."""
        core = self.core(node)
        return "bytes" if is_base64(core) else str(core.get("type"))

    def _told_apart(self, one: Node, other: Node) -> bool:
        """Whether no value of one model can be read as the other: by a tag, or by a field that only the one needs."""
        mine, theirs = Tree._fields_of(one), Tree._fields_of(other)
        for name in mine.keys() & theirs.keys():
            a, b = self.core(mine[name]["schema"]), self.core(theirs[name]["schema"])
            if a.get("type") == b.get("type") == "literal" and not set(a["expected"]) & set(b["expected"]):
                return True
        return _needs_more(mine, theirs) and _needs_more(theirs, mine)

    @staticmethod
    def _fields_of(node: Node) -> dict[str, Node]:
        while "fields" not in node and isinstance(node.get("schema"), dict):
            node = node["schema"]
        found = node.get("fields", {})
        return found if isinstance(found, dict) else {}

    def depth(self, node: Node, path: tuple[str, ...]) -> float:
        """Return how many maps and arrays may lie inside one another; infinite where it is not known."""
        if node.get("type") == "definition-ref":
            target = node["schema_ref"]
            return float("inf") if target in path else self.depth(self.definitions[target], (*path, target))
        kind = node.get("type")
        if kind in _LEAVES or is_base64(node) or is_secret(node) or _is_text(node):
            return 0
        inner = [each for each in _children(node) if "type" in each]
        if not inner:
            return 1 if kind in ("model-fields", "typed-dict", "dataclass-args") else float("inf")
        deepest = max(self.depth(each, path) for each in inner)
        return deepest + (kind in _ARRAYS or kind in _MAPS)

    def is_finite(self, node: Node, *, is_safe: bool, seen: tuple[str, ...]) -> bool:
        """Whether no float below can be NaN or infinite. `is_safe`: what the class around it says."""
        if node.get("type") == "definition-ref":
            target = node["schema_ref"]
            if target in seen:
                return True
            return self.is_finite(self.definitions[target], is_safe=is_safe, seen=(*seen, target))
        if isinstance(node.get("config"), dict):
            is_safe = node["config"].get("allow_inf_nan") is False
        if _is_unchecked(node):
            is_safe = False
        if node.get("type") == "float":
            return node.get("allow_inf_nan", not is_safe) is False
        return all(self.is_finite(each, is_safe=is_safe, seen=seen) for each in _children(node))


def _children(node: Node) -> Iterator[Node]:
    for key, value in parts(node):
        if key in ("json_schema_input_schema", "function"):
            continue
        if isinstance(value, dict):
            yield from [value] if "type" in value else value.values()
        elif isinstance(value, list | tuple):
            for each in value:
                if isinstance(each, tuple):
                    each = each[0]
                if isinstance(each, dict):
                    yield each


def _is_unchecked(node: Node) -> bool:
    """Whether a node is a dataclass of the standard library, whose objects nobody has checked."""
    return node.get("type") == "dataclass" and "__pydantic_validator__" not in node["cls"].__dict__


def _is_text(node: Node) -> bool:
    """Whether pydantic itself writes a node as text, as it does addresses and paths."""
    writing = node.get("serialization") or {}
    function = writing.get("function")
    return writing.get("type") == "to-string" or str(getattr(function, "__module__", "")).startswith("pydantic.")


def _needs_more(mine: dict[str, Node], theirs: dict[str, Node]) -> bool:
    return any(name not in theirs and field["schema"].get("type") != "default" for name, field in mine.items())


def _family(kind: str) -> str:
    if kind in _ARRAYS:
        return "array"
    if kind in _MAPS:
        return "map"
    if kind in _TEXTS or kind in ("bytes", "json-or-python"):
        return "typed text"
    if kind in ("str", "int", "float", "bool", "none", "literal"):
        return kind
    return "anything"
