"""Random classes: pydantic classes of specs, and values for them."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import AfterValidator, AnyUrl, Field, SecretStr, StringConstraints, create_model
from typing_extensions import TypedDict

from eventbus import Event, Value
from tests.contracts.random_specs import Spec, Specs


def _even_length(text: str) -> str:
    if len(text) % 2:
        raise ValueError("an odd length")
    return text


class Maker(Specs):
    """Draws specs, and makes classes of them and values of them."""

    # -- classes ------------------------------------------------------------------------------------------------------

    def event(self, fields: tuple[Any, ...], *, is_owner: bool) -> type[Event]:
        keywords: dict[str, Any] = {"topic": "t", **({"version": 1} if is_owner else {"name": "E"})}
        made: type[Event] = create_model("E", __base__=Event, __cls_kwargs__=keywords, **self._definitions(fields, {}))
        return made

    def _definitions(self, fields: tuple[Any, ...], cache: dict[Any, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, spec, has_default, alias in fields:
            kind = self.kind(spec, cache)
            options = {"alias": alias} if alias else {}
            if has_default:
                try:
                    drawn = self.draw(spec)
                    json.dumps(drawn)
                    options["default"] = drawn
                except (TypeError, ValueError):
                    kind, options["default"] = kind | None if isinstance(kind, type) else Annotated[Any, None], None
            found[name] = (kind, Field(**options, validate_default=True)) if options else (kind, ...)
        return found

    def kind(self, spec: Spec, cache: dict[Any, Any]) -> Any:
        name = spec[0]
        plain: dict[str, Any] = {
            **{"int": int, "float": float, "decimal": Decimal, "bytes": bytes, "datetime": datetime, "date": date},
            **{"time": time, "timedelta": timedelta, "uuid": UUID, "any": Any, "bool": bool, "secret": SecretStr},
        }
        if name in plain:
            return Annotated[plain[name], Field(**spec[1])] if spec[1] else plain[name]
        if name == "str":
            bounds = dict(spec[1])
            if bounds.pop("check", False):
                return Annotated[str, AfterValidator(_even_length)]
            return Annotated[str, StringConstraints(**bounds)] if bounds else str
        if name in ("enum", "ip", "url"):
            return spec[1]
        if name == "literal":
            return Literal[spec[1]]
        if name == "opt":
            return self.kind(spec[1], cache) | None if spec[1][0] != "any" else Any
        if name in ("list", "set"):
            made: Any = {"list": list, "set": set}[name][self.kind(spec[1], cache)]
            return Annotated[made, Field(**spec[2])] if spec[2] else made
        if name == "tuple":
            return tuple.__class_getitem__(tuple(self.kind(each, cache) for each in spec[1]))
        if name == "map":
            made = dict[self.kind(spec[1], cache), self.kind(spec[2], cache)]  # type: ignore[misc]
            return Annotated[made, Field(**spec[3])] if spec[3] else made
        if name == "union":
            one, other = (self.kind(each, cache) for each in spec[1])
            return one | other if Any not in (one, other) else Any
        if name == "tagged":
            variants = [self._variant(each, cache) for each in spec[1]]
            joined: Any = variants[0]
            for each in variants[1:]:
                joined = joined | each
            return Annotated[joined, Field(discriminator="kind")]
        if spec[1] not in cache:
            cache[spec[1]] = self._class(spec, cache)
        return cache[spec[1]]

    def _variant(self, variant: tuple[Any, ...], cache: dict[Any, Any]) -> Any:
        tag, number, fields, has_default = variant
        fields = tuple(each for each in fields if each[0] != "kind")
        tagged = (Literal[tag], tag) if has_default else (Literal[tag], ...)
        return create_model(f"V{number}", __base__=Value, kind=tagged, **self._definitions(fields, cache))

    def _class(self, spec: Spec, cache: dict[Any, Any]) -> Any:
        name, number, fields = spec
        if name == "model":
            return create_model(f"M{number}", __base__=Value, **self._definitions(fields, cache))
        kinds = {field: (self.kind(each, cache), optional) for field, each, optional, _ in fields}
        if name == "typed":
            return TypedDict(f"T{number}", {f: NotRequired[k] if o else k for f, (k, o) in kinds.items()})  # type: ignore[misc]
        return dataclasses.make_dataclass(f"D{number}", [(f, k) for f, (k, _) in kinds.items()])

    # -- values -------------------------------------------------------------------------------------------------------

    def draw(self, spec: Spec) -> Any:
        pick = self.random
        name = spec[0]
        if name in ("model", "typed", "data"):
            return {
                alias or field: self.draw(each)
                for field, each, optional, alias in spec[2]
                if not (optional and pick.random() < 0.4)
            }
        if name == "tagged":
            tag, _, fields, _ = pick.choice(spec[1])
            return {"kind": tag, **self.draw(("model", 0, fields))}
        if name == "opt":
            return None if pick.random() < 0.4 else self.draw(spec[1])
        if name in ("list", "set"):
            return [self.draw(spec[1]) for _ in range(pick.randrange(0, 4))]
        if name == "tuple":
            return [self.draw(each) for each in spec[1]]
        if name == "map":
            return {self._key(spec[1]): self.draw(spec[2]) for _ in range(pick.randrange(0, 3))}
        if name == "union":
            return self.draw(pick.choice(spec[1]))
        if name == "literal":
            return pick.choice(spec[1])
        if name == "enum":
            return pick.choice(list(spec[1])).value
        if name == "ip":
            return {IPv4Address: "192.0.2.7", IPv6Address: "::7", IPv4Network: "10.1.0.0/16"}[spec[1]]
        if name == "url":
            return pick.choice(
                ["https://example.org/a", "http://b.example", *(["ftp://c.example/"] if spec[1] is AnyUrl else [])]
            )
        return self._scalar(name, spec[1])

    def _key(self, spec: Spec) -> Any:
        return self.random.choice(("a", "b", "key", "priority", "xy")) if spec[0] == "str" else self.draw(spec)

    def _scalar(self, name: str, bounds: dict[str, Any]) -> Any:
        pick = self.random
        if name == "str":
            return self._text(bounds)
        moment = datetime(pick.choice((1, 1900, 2020, 2022, 2024, 2025, 2030, 9998)), 1, pick.choice((1, 2)), tzinfo=UTC)
        shift = timezone(timedelta(hours=pick.choice((0, 5))))
        found: dict[str, Any] = {
            "int": pick.choice((pick.randrange(-7, 16), 2**53, -(2**40), *bounds.values())),
            "float": pick.choice((float(pick.randrange(-7, 16)), 1e300, 0.5, *bounds.values())),
            "bool": pick.choice((True, False)),
            "decimal": pick.choice((Decimal(pick.randrange(-700, 1600)) / 100, Decimal(pick.randrange(-7, 16)))),
            "bytes": pick.randbytes(pick.randrange(0, 10)),
            "datetime": moment.astimezone(shift) if 1 < moment.year < 9998 else moment,
            "date": moment.date(),
            "time": pick.choice(
                (time(12), time(0, 0, 1, 5), time(23, 59, tzinfo=UTC), time(1, tzinfo=timezone(timedelta(hours=3))))
            ),
            "timedelta": timedelta(minutes=pick.randrange(-300, 600)),
            "uuid": UUID(int=pick.getrandbits(128), version=pick.choice((4, None))),
            "any": pick.choice((None, 1, -1.5, "text", "", [], [1, "a"], {"a": 1}, {"priority": "high"}, True, {})),
            "secret": pick.choice(("hush", "")),
        }
        return found[name]

    def _text(self, bounds: dict[str, Any]) -> str:
        pick = self.random
        if "pattern" in bounds:
            return {"^[a-z]*$": "abc", "^[A-Z]{2}$": "AB", "^[a-z]+-[0-9]+$": "a-1"}[bounds["pattern"]]
        texts = ["", " ", "a", "ab", "AB", "Ab9", "  x", "e\u0301", "\U0001f600", "\x00y", "1", "true", "2026-01-31", "null"]
        return pick.choice([*texts, "x" * pick.randrange(3, 700), str(UUID(int=7))])
