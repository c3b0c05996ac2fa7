"""Random specs: what an event class is made of, and the same with changes, as another team's view would have it."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

from pydantic import AnyUrl, HttpUrl

Spec = tuple[Any, ...]
"""A kind and what it is made of: ("int", bounds), ("list", item, bounds), ("model", number, fields) ..."""


class Size(Enum):
    small = "small"
    large = "large"


class Sizes(Enum):
    small = "small"
    large = "large"
    huge = "huge"


class Specs:
    """Draws specs and changes them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._shared: list[Spec] = []
        self._number = 0

    # -- specs --------------------------------------------------------------------------------------------------------

    def spec(self, depth: int = 0) -> Spec:
        pick = self.random
        kinds = ["int", "int", "str", "str", "float", "bool", "decimal", "bytes", "datetime", "date", "time", "timedelta"]
        kinds += ["uuid", "enum", "literal", "any", "ip", "url", "secret", "opt"]
        if depth < 3:
            kinds += ["list", "list", "set", "tuple", "map", "map", "model", "model", "model", "shared", "union", "tagged"]
            kinds += ["typed", "data"]
        kind = pick.choice(kinds)
        if kind == "shared" and self._shared:
            return pick.choice(self._shared)
        make = getattr(self, f"_spec_{kind}", None)
        if make is not None:
            made: Spec = make(depth)
            return made
        return (kind if kind != "shared" else "str", self._bounds(kind))

    def _bounds(self, kind: str) -> dict[str, Any]:
        pick = self.random
        if pick.random() < 0.5:
            return {}
        if kind in ("int", "float", "decimal"):
            low, high = sorted((pick.randrange(-5, 6), pick.randrange(-5, 12)))
            cast: Any = {"int": int, "float": float, "decimal": Decimal}[kind]
            found = {pick.choice(("ge", "gt")): cast(low), pick.choice(("le", "lt")): cast(high + 2)}
            kept = {word: bound for word, bound in found.items() if pick.random() < 0.7}
            if kind == "decimal" and pick.random() < 0.4:
                kept |= {"max_digits": pick.randrange(4, 8), "decimal_places": pick.randrange(0, 3)}
            if kind == "int" and pick.random() < 0.2:
                kept["multiple_of"] = pick.choice((1, 2, 4))
            return kept
        if kind in ("str", "shared"):
            return pick.choice(
                (
                    {"min_length": pick.randrange(0, 3), "max_length": pick.randrange(3, 700)},
                    {"min_length": 1, "strip_whitespace": True},
                    {"pattern": pick.choice(("^[a-z]*$", "^[A-Z]{2}$", "^[a-z]+-[0-9]+$"))},
                    {"check": True},
                )
            )
        if kind == "bytes":
            return {"min_length": pick.randrange(0, 3), "max_length": pick.randrange(3, 9)}
        if kind in ("list", "set", "map"):
            return {pick.choice(("min_length", "max_length")): pick.randrange(1, 4)}
        moments: dict[str, Any] = {
            "datetime": datetime(2020 + pick.randrange(6), 1, 1, tzinfo=UTC),
            "date": date(2020 + pick.randrange(6), 1, 1),
            "timedelta": timedelta(hours=pick.randrange(-3, 5)),
        }
        return {pick.choice(("ge", "gt", "le", "lt")): moments[kind]} if kind in moments else {}

    def _spec_enum(self, depth: int) -> Spec:
        return ("enum", self.random.choice((Size, Sizes)))

    def _spec_literal(self, depth: int) -> Spec:
        pool = ("a", "b", "AB", 1, 2, True, None, "a-1")
        return ("literal", tuple(self.random.sample(pool, self.random.randrange(1, 4))))

    def _spec_ip(self, depth: int) -> Spec:
        return ("ip", self.random.choice((IPv4Address, IPv6Address, IPv4Network)))

    def _spec_url(self, depth: int) -> Spec:
        return ("url", self.random.choice((AnyUrl, HttpUrl)))

    def _spec_opt(self, depth: int) -> Spec:
        return ("opt", self.spec(depth + 1))

    def _spec_list(self, depth: int) -> Spec:
        return ("list", self.spec(depth + 1), self._bounds("list"))

    def _spec_set(self, depth: int) -> Spec:
        return ("set", self.random.choice((("int", {}), ("str", {}), ("date", {}))), self._bounds("set"))

    def _spec_tuple(self, depth: int) -> Spec:
        return ("tuple", tuple(self.spec(depth + 1) for _ in range(self.random.randrange(1, 4))))

    def _spec_map(self, depth: int) -> Spec:
        keys: Any = (("str", {}), ("int", {}), ("uuid", {}), ("date", {}), ("enum", Size), ("str", {"pattern": "^[a-z]+$"}))
        return ("map", self.random.choice(keys), self.spec(depth + 1), self._bounds("map"))

    def _spec_model(self, depth: int) -> Spec:
        self._number += 1
        made = ("model", self._number, self.fields(depth))
        self._shared.append(made)
        return made

    def fields(self, depth: int) -> tuple[Any, ...]:
        """Return fields: name, spec, whether it has a default, alias or None."""
        names = self.random.sample(["a", "b", "c", "d", "a.b", "required"] if depth > 0 else ["p", "q", "r", "s"], 3)
        if depth > 0:
            names = [each if each.isidentifier() else "e" for each in names]
        count = self.random.randrange(1, 4)
        return tuple(
            (name, self.spec(depth + 1), self.random.random() < 0.25, f"{name}Alias" if self.random.random() < 0.1 else None)
            for name in names[:count]
        )

    def _spec_typed(self, depth: int) -> Spec:
        return (
            "typed",
            self._next(),
            tuple((n, s, o, None) for n, s, o, _ in self.fields(depth) if _safe(s)) or (("x", ("int", {}), False, None),),
        )

    def _spec_data(self, depth: int) -> Spec:
        return (
            "data",
            self._next(),
            tuple((n, s, False, None) for n, s, _, _ in self.fields(depth) if _safe(s))
            or (("x", ("int", {}), False, None),),
        )

    def _spec_union(self, depth: int) -> Spec:
        return ("union", tuple(self.spec(depth + 1) for _ in range(2)))

    def _spec_tagged(self, depth: int) -> Spec:
        tags = self.random.sample(("card", "cash", "bank"), self.random.randrange(2, 4))
        has_default = self.random.random() < 0.3
        return ("tagged", tuple((tag, self._next(), self.fields(depth), has_default) for tag in tags))

    def _next(self) -> int:
        self._number += 1
        return self._number

    # -- a view: the owner's spec with changes -----------------------------------------------------------------------------

    def changed(self, spec: Spec, depth: int = 0) -> Spec:
        pick = self.random
        roll = pick.random()
        if roll < 0.05:
            return self.spec(depth)
        if roll < 0.08:
            return ("opt", spec)
        if roll < 0.1:
            return ("any", {})
        kind = spec[0]
        if kind in ("int", "float", "decimal", "str", "bytes", "datetime", "date", "timedelta"):
            if kind == "int" and roll < 0.2:
                return ("float", {})
            return (kind, self._bounds(kind)) if roll < 0.4 else (kind, {}) if roll < 0.5 else spec
        if kind in ("opt", "list", "set"):
            return (
                kind,
                self.changed(spec[1], depth + 1),
                *((self._bounds("list"),) if roll < 0.2 and spec[2:] else spec[2:]),
            )
        if kind in ("tuple", "union"):
            return (kind, tuple(self.changed(each, depth + 1) for each in spec[1]))
        if kind == "map":
            if roll < 0.2:
                return ("model", self._next(), self.fields(depth))
            return ("map", spec[1] if roll < 0.8 else ("str", {}), self.changed(spec[2], depth + 1), spec[3])
        if kind in ("model", "typed", "data"):
            fields = self.changed_fields(spec[2], depth)
            if roll < 0.15:
                return ("map", ("str", {}), self.spec(depth + 1), {})
            return (kind if roll < 0.8 or kind == "model" else "model", self._next(), fields)
        if kind == "tagged":
            kept = spec[1] if roll < 0.8 else spec[1][1:]
            return (
                ("tagged", tuple((t, self._next(), self.changed_fields(f, depth), d) for t, _, f, d in kept))
                if len(kept) > 1
                else spec
            )
        if kind == "literal" and roll < 0.4:
            return ("literal", tuple(dict.fromkeys((*spec[1], "z")))) if roll < 0.25 else ("str", {})
        if kind == "enum" and roll < 0.4:
            return ("enum", pick.choice((Size, Sizes)))
        if kind in ("uuid", "ip", "url", "enum") and roll < 0.5:
            return ("str", self._bounds("str"))
        return spec

    def changed_fields(self, fields: tuple[Any, ...], depth: int) -> tuple[Any, ...]:
        kept = []
        for name, spec, has_default, alias in fields:
            roll = self.random.random()
            if roll < 0.15 and len(fields) > 1:
                continue
            kept.append((name, self.changed(spec, depth + 1), has_default or roll > 0.9, alias))
        return tuple(kept) or fields


def _safe(spec: Spec) -> bool:
    """Whether a spec may lie in a class that is not ours: what would not survive is refused there, which other tests see."""
    text = repr(spec)
    return not any(f"('{kind}'" in text for kind in ("bytes", "datetime", "secret", "float", "any", "model", "tagged"))
