"""Histories of an environment: random services change what they send and read, and each deploy is asked for beforehand.

The truth is found by running both sides on the memory engine: objects of the owners' classes, of old versions too, are
published to the services that would run, and whoever cannot read one has a dead letter. Values cover what a type allows, so
that what can break does. `python -m tests.contracts.histories 200` tries that many.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import dataclasses
import logging
import sys
import tempfile
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

from pydantic import create_model

from eventbus import Event, Service
from eventbus.contracts.contract import Contract, contract_of
from eventbus.contracts.deploying import can_deploy
from eventbus.contracts.environment import load_environment, record, releases_of
from eventbus.contracts.release import Release
from eventbus.event import event_info
from eventbus.testing import Harness
from tests.contracts.history_fields import KINDS, LENIENT

Fields = dict[str, str]


@dataclasses.dataclass
class Build:
    """One release: what its code has."""

    service: Service
    sends: dict[str, type[Event]]
    fields: dict[str, Fields]
    """Of each event that it sends."""
    handled: list[tuple[str, str]]


@dataclasses.dataclass
class World:
    """What is: of each service the release that runs, and all that was sent once."""

    running: dict[str, Build]
    sent: list[tuple[type[Event], Fields]]

    def after(self, name: str, build: Build) -> "World":
        sent = self.sent + [(kind, build.fields[event]) for event, kind in build.sends.items()]
        return World({**self.running, name: build}, sent)


class History:
    """One history."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._versions: dict[str, int] = {}
        self._fields: dict[str, Fields] = {}
        self._views: dict[tuple[str, str], Fields] = {}
        self._contracts: list[Contract] = []
        self._by_class: dict[type[Event], Contract] = {}

    # -- what changes -------------------------------------------------------------------------------------------------

    def _drawn(self) -> Fields:
        return {name: self.random.choice(list(KINDS)) for name in self.random.sample("abcdef", 3)}

    def _changed(self, fields: Fields) -> Fields:
        made = dict(fields)
        change = self.random.random()
        if change < 0.3:
            made[self.random.choice("abcdef")] = self.random.choice(list(KINDS))
        elif change < 0.5 and len(made) > 1:
            del made[self.random.choice(list(made))]
        elif change < 0.7:
            near = {"int": "small", "small": "int", "text": "short", "short": "text", "two": "three", "three": "two"}
            near |= {"lines": "both", "both": "renamed", "renamed": "both", "id": "text", "even": "text", "maybe": "int"}
            name = self.random.choice(list(made))
            made[name] = near.get(made[name], made[name])
        return made

    def _event(self, event: str, fields: Fields) -> type[Event]:
        self._versions[event] = self._versions.get(event, 0) + 1
        kind: type[Event] = create_model(
            event,
            __base__=Event,
            __cls_kwargs__={"topic": f"topic_{event[0].lower()}", "version": self._versions[event]},
            **{name: (KINDS[each][0], ...) for name, each in fields.items()},
        )
        self._contracts.append(contract_of(kind, event[0].lower()))
        self._by_class[kind] = self._contracts[-1]
        return kind

    def _view(self, name: str, event: str) -> type[Event]:
        known = self._fields.get(event, {})
        fields = dict(self._views.get((name, event), {}))
        if not fields or self.random.random() < 0.5:
            mine = {each: kind for each, kind in known.items() if self.random.random() < 0.6}
            fields = mine if self.random.random() < 0.7 else self._changed(mine or {"a": "int"})
        for field, kind in fields.items():
            if (known.get(field), kind) in LENIENT:
                fields[field] = known[field]
        self._views[name, event] = fields
        defaults: dict[str, Any] = {
            field: (KINDS[kind][0], ... if self.random.random() < 0.7 else KINDS[kind][1][0])
            for field, kind in fields.items()
        }
        for field, kind in fields.items():
            if kind in ("lines", "renamed", "both"):
                defaults[field] = (KINDS[kind][0], ...)
        made: type[Event] = create_model(
            event, __base__=Event, __cls_kwargs__={"topic": f"topic_{event[0].lower()}"}, **defaults
        )
        return made

    def build(self, name: str, world: World) -> Build:
        """Return the next release of a service."""
        before = world.running.get(name)
        sends = dict(before.sends) if before else {}
        fields = dict(before.fields) if before else {}
        events = {"a": ["A1", "A2"], "b": ["B1"]}.get(name, [])
        for event in events:
            if event not in sends and (before is None or self.random.random() < 0.5):
                fields[event] = self._fields[event] = self._drawn()
                sends[event] = self._event(event, fields[event])
            elif self.random.random() < 0.45 and event in sends:
                fields[event] = self._changed(self._fields[event])
                for field, kind in fields[event].items():  # a view of before must not be lenient with it
                    readers = {views.get(field) for (_, each), views in self._views.items() if each == event}
                    if any((kind, reader) in LENIENT for reader in readers):
                        fields[event][field] = "int"
                self._fields[event] = fields[event]
                sends[event] = self._event(event, fields[event])
            elif self.random.random() < 0.07 and event in sends:
                del sends[event], fields[event]
        handled: list[tuple[str, str]] = []
        service = Service(name, unhandled="park" if self.random.random() < 0.1 else "finish")
        for event in self.random.sample(["A1", "A2", "B1"], self.random.choice((1, 2, 2, 3)) if name in "cd" else 1):
            if event[0].lower() != name:
                service.on(self._view(name, event))(_handler(handled, name, event))
        return Build(service, sends, fields, handled)

    # -- the truth ----------------------------------------------------------------------------------------------------

    def truth(self, name: str, build: Build, world: World) -> str:
        """Return what goes wrong when a release goes out; nothing when all is well."""
        running = [each for each in world.running.values() if each.service.bindings]
        with Harness(*(each.service for each in running)) as harness:
            for event, kind in build.sends.items():
                _publish(harness, kind, build.fields[event])
            harness.settle()
            if harness.dead_letters():
                return f"{harness.dead_letters()[0].reason}"
            for each in running:
                each.handled.clear()
            for other, one in world.running.items():
                for event, kind in one.sends.items() if other != name else ():
                    _publish(harness, kind, one.fields[event])
            for event, kind in build.sends.items():
                _publish(harness, kind, build.fields[event])
            harness.settle()
            before = world.running.get(name)
            for event in () if before is None else before.sends:
                for other, one in world.running.items():
                    waits = any(binding.event_type.__event_info__.name == event for binding in one.service.bindings)
                    if other != name and waits and (other, event) not in one.handled and event not in build.sends:
                        return f"{other} waits for {event}"
        if not build.service.bindings:
            return ""
        with Harness(build.service) as harness:
            for kind, fields in [*world.sent, *((kind, build.fields[event]) for event, kind in build.sends.items())]:
                _publish(harness, kind, fields)
            harness.settle()
            return f"{harness.dead_letters()[0].reason}" if harness.dead_letters() else ""

    # -- the answer ---------------------------------------------------------------------------------------------------

    def release(self, build: Build) -> Release:
        sent = [self._by_class[kind] for kind in build.sends.values()]
        return releases_of([build.service], sent, known=self._contracts)[0]

    def run(self, folder: Path) -> tuple[list[str], dict[str, int]]:
        """Return where answer and truth differ, and how often each was given."""
        wrong: list[str] = []
        said = {"yes": 0, "no": 0}
        world = World({}, [])
        for step in range(9):
            name = "abcd"[step] if step < 4 else self.random.choice("abcd")
            build = self.build(name, world)
            release = self.release(build)
            # their pipelines, once the owner has published what it is about to send
            record(folder, "production", [self.release(one) for one in world.running.values()])
            if world.running:
                there = load_environment(folder, "production")
                answer = can_deploy([release], there)
                why = self.truth(name, build, world)
                said["yes" if answer.is_yes else "no"] += 1
                if answer.is_yes != (why == ""):
                    wrong.append(f"step {step}: {answer.lines()}; truth: {why or 'all is well'}")
                if not answer.is_yes and self.random.random() < 0.8:
                    continue
            record(folder, "production", [release])
            world = world.after(name, build)
            if self.random.random() < 0.15:
                self._drain(folder, world)
        wrong += self._together(folder, world, said)
        return wrong, said

    def _drain(self, folder: Path, world: World) -> None:
        waiting = [each for _, each in load_environment(folder, "production").waiting()]
        if waiting:
            dry = self.random.choice(waiting)
            record(folder, "production", [], drained=[dry.path.removesuffix(".json")])
            world.sent[:] = [each for each in world.sent if _key(each[0]) != (dry.type, dry.version)]

    def _together(self, folder: Path, world: World, said: dict[str, int]) -> list[str]:
        """Ask for two releases at once: in which order may they go?"""
        builds = {name: self.build(name, world) for name in self.random.sample(["a", "c", "d"], 2)}
        record(folder, "production", [self.release(one) for one in world.running.values()])
        there = load_environment(folder, "production")
        releases = {name: self.release(build) for name, build in builds.items()}
        answer = can_deploy(list(releases.values()), there)
        said["yes" if answer.is_yes else "no"] += 1
        if answer.is_yes:
            orders = [[each.service for each in answer.order]]
        else:
            orders = [list(each) for each in permutations(builds)]
        results = []
        for order in orders:
            now, fault = world, ""
            for name in order:
                fault = fault or self.truth(name, builds[name], now)
                now = now.after(name, builds[name])
            results.append(fault)
        if answer.is_yes != ("" in results):
            return [f"together: {answer.lines()}; truth: {results}"]
        return []


def _key(kind: type[Event]) -> tuple[str, int]:
    return event_info(kind).name, event_info(kind).version


def _handler(handled: list[tuple[str, str]], name: str, event: str) -> Any:
    def handle(received: Any) -> None:
        handled.append((name, event))

    handle.__name__ = handle.__qualname__ = f"on_{event.lower()}"
    return handle


def _publish(harness: Harness, kind: type[Event], fields: Fields) -> None:
    values = {name: KINDS[each][1] for name, each in fields.items()}
    for number in range(max(map(len, values.values()), default=1)):
        harness.publish(kind.model_validate({name: each[number % len(each)] for name, each in values.items()}))


def run(histories: int, seed: int) -> tuple[list[str], dict[str, int]]:
    """Run histories; return where answer and truth differ, and how often each answer was given."""
    wrong: list[str] = []
    said = {"yes": 0, "no": 0}
    for number in range(histories):
        with tempfile.TemporaryDirectory() as folder:
            found, counts = History(seed * 100_003 + number).run(Path(folder))
        wrong += [f"history {seed * 100_003 + number}, {each}" for each in found]
        said = {word: said[word] + counts[word] for word in said}
    return wrong, said


if __name__ == "__main__":
    logging.getLogger("eventbus").setLevel(logging.CRITICAL)
    faults, answers = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    sys.stdout.write("\n".join([*faults[:20], f"{len(faults)} wrong; {answers}"]) + "\n")
    sys.exit(bool(faults))
