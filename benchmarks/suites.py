"""Suites of others about which schemas fit: what each asks and what it says, read from a clone of its repository."""

from __future__ import annotations

import collections
import json
import re
import subprocess
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Pair:
    """A writer, a reader, and whether the suite says that they fit."""

    name: str
    writer: Any
    reader: Any
    is_fit: bool


class Repository:
    """Files of a clone, at its HEAD."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self._folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    def commit(self) -> str:
        return self._git("rev-parse", "HEAD").strip()

    def paths(self, below: str) -> list[str]:
        return self._git("ls-tree", "-r", "--name-only", "HEAD", below).splitlines()

    def text(self, path: str) -> str:
        return self._git("show", f"HEAD:{path}")


def confluent(repository: Repository) -> Iterator[Pair]:
    for path in repository.paths("json-schema-provider/src/test/resources/"):
        if not re.search(r"/diff-.*\.json$", path):
            continue
        text = re.sub(r",(\s*[\]}])", r"\1", repository.text(path))  # their reader takes a comma before the end
        for number, case in enumerate(json.loads(text)):
            name = f"{Path(path).stem} {number}: {case['description']}"
            yield Pair(name, case["original_schema"], case["update_schema"], case["compatible"])


def jsoncompat(repository: Repository) -> Iterator[Pair]:
    root = "tests/fixtures/backcompat"
    for path in repository.paths(f"{root}/"):
        folder, _, file = path.rpartition("/")
        if file != "expect.json":
            continue
        said, old, new = (json.loads(repository.text(f"{folder}/{each}.json")) for each in ("expect", "old", "new"))
        if not said.get("allowed_failure"):
            yield Pair(f"{Path(folder).name} serializer", new, old, said["serializer"])
            yield Pair(f"{Path(folder).name} deserializer", old, new, said["deserializer"])


_HARMLESS = frozenset(
    {"TypeAdd", "ConstRemove", "RangeRemove", "TupleToArray", "RequiredRemove", "FormatRemove", "PatternRemove"}
    | {"MinLengthRemove", "MaxLengthRemove"}
)


def sentry(repository: Repository) -> Iterator[Pair]:
    for path in repository.paths("tests/fixtures/"):
        name = path.removeprefix("tests/fixtures/")
        case = json.loads(repository.text(path))
        snapshot = repository.text(f"tests/snapshots/test__from_fixtures@{name.replace('/', '__')}.snap")
        changes = snapshot.split("\n---\n", 1)[1].split("    Change {")[1:]
        yield Pair(name, case["lhs"], case["rhs"], not any(map(_is_breaking, changes)))


def _is_breaking(change: str) -> bool:
    """What `ChangeKind::is_breaking` of that project says of a change in a snapshot."""
    found = re.search(r"change: (\w+)", change)
    assert found is not None, change
    kind = found[1]
    if kind in _HARMLESS:
        return False
    if kind in ("PropertyAdd", "PropertyRemove"):
        return ("lhs_additional_properties: true" in change) == (kind == "PropertyAdd")
    if kind == "EnumAdd":
        return "lhs_has_no_enum: true" in change
    if kind == "EnumRemove":
        return "rhs_has_no_enum: true" not in change
    if kind == "RangeChange":
        (old, before), (new, after) = re.findall(r"(\w*(?:Minimum|Maximum))\(\s*(-?[\d.e+-]+)", change)
        is_looser = float(before) >= float(after) if new.endswith("Minimum") else float(before) <= float(after)
        return not (is_looser and (old == new or old.startswith("Exclusive")))
    if kind in ("MinLengthChange", "MaxLengthChange"):
        before, after = (int(each) for each in re.findall(r"_value: (\d+)", change))
        return after > before if kind == "MinLengthChange" else after < before
    return True


def ibm(repository: Repository) -> Iterator[Pair]:
    """Run their tests with a function that only notes what it was asked."""
    found: list[Pair] = []
    asked = collections.namedtuple("asked", ["name", "pairs"])

    class Stub(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return lambda *arguments, **_: asked(name, arguments[:2])

    for name in ("jsonsubschema", "jsonsubschema.api", "jsonsubschema.exceptions", "jsonsubschema._utils"):
        sys.modules[name] = Stub(name)
    for name in ("jsonsubschema._checkers", "jsonsubschema._canonicalization", "jsonsubschema.exp_dircmp"):
        sys.modules[name] = Stub(name)

    def noting(is_fit: bool) -> Callable[..., None]:
        def note(case: unittest.TestCase, value: Any, *_: Any) -> None:
            if not isinstance(value, asked) or len(value.pairs) < 2:
                return
            one, other = value.pairs
            if value.name == "isSubschema":
                found.append(Pair(case.id(), one, other, is_fit))
            elif value.name == "isEquivalent" and is_fit:
                found.extend((Pair(case.id(), one, other, True), Pair(case.id(), other, one, True)))

        return note

    class Noting(unittest.TestCase):
        assertTrue, assertFalse = noting(True), noting(False)  # noqa: N815

    unittest_stub = types.SimpleNamespace(**{**vars(unittest), "TestCase": Noting})
    for path in repository.paths("test/"):
        if not re.search(r"/test_\w+\.py$", path):
            continue
        module: dict[str, Any] = {"__name__": Path(path).stem}
        code = repository.text(path).replace("import unittest\n", "")
        module["unittest"] = unittest_stub
        try:
            exec(compile(code, path, "exec"), module)
        except ImportError as error:
            sys.stderr.write(f"{path}: {error}\n")
            continue
        for value in list(module.values()):
            if isinstance(value, type) and issubclass(value, Noting) and value is not Noting:
                for test in unittest.defaultTestLoader.getTestCaseNames(value):
                    value(test).run(unittest.TestResult())
    yield from found


SUITES: dict[str, Callable[[Repository], Iterator[Pair]]] = {
    "confluentinc/schema-registry": confluent,
    "getsentry/json-schema-diff": sentry,
    "ostrowr/jsoncompat": jsoncompat,
    "IBM/jsonsubschema": ibm,
}
