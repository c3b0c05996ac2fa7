"""How often the comparison of contracts agrees with the test suites of others.

    python -m benchmarks.compatibility --suites FOLDER [--show]

FOLDER holds clones (bare ones too) of the repositories in SUITES, each in a folder named as its repository; they are read
from where they lie, at their HEAD. A pair is a writer, a reader and what the suite says: whether the reader takes all that
the writer may send. Where we say something else, a value is searched for that the writer may send and the reader refuses: it
decides who is right. Readers of events pass over fields that they do not name, which most suites see otherwise.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema

from benchmarks.suites import SUITES, Pair, Repository
from eventbus.contracts.reading import check_schema
from eventbus.contracts.subset import differences
from eventbus.contracts.values import edges
from eventbus.errors import ContractError


def modern(schema: Any) -> Any:
    """Return a schema of an older draft as one of 2020-12: the same values are valid."""
    if isinstance(schema, list):
        return [modern(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for word, value in schema.items():
        if word in ("$schema", "$id", "id") and isinstance(value, str):
            continue
        if word.lower().endswith("foroptimizer"):  # a remark of the project whose schemas these are
            continue
        if word == "items" and isinstance(value, list):
            made["prefixItems"] = modern(value)
            made["items"] = modern(schema.get("additionalItems", True))
        elif word == "additionalItems":
            continue
        elif word == "definitions":
            made["$defs"] = {name: modern(each) for name, each in value.items()}
        elif word in ("properties", "patternProperties", "$defs", "dependentSchemas") and isinstance(value, dict):
            made[word] = {name: modern(each) for name, each in value.items()}
        elif word == "$ref" and isinstance(value, str):
            made[word] = value.replace("#/definitions/", "#/$defs/")
        elif word in ("enum", "const", "default", "examples"):
            made[word] = value
        elif word in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool):
            bound = word.replace("exclusiveM", "m")
            if value and bound in schema:
                made[word] = schema[bound]
        else:
            made[word] = modern(value)
    return made


def opened(schema: Any) -> Any:
    """Return a schema as a reader of events reads it: fields that it does not name are passed over."""
    if isinstance(schema, list):
        return [opened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        word: value if word in ("enum", "const", "default", "examples") else opened(value) for word, value in schema.items()
    }
    if "properties" in made:
        made.pop("additionalProperties", None)
    return made


def is_valid(schema: Any, value: Any) -> bool:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return bool(jsonschema.Draft202012Validator(schema, format_checker=checker).is_valid(value))


def counterexample(writer: Any, reader: Any) -> Any | None:
    """Return a value, in a list, that the writer may send and the reader refuses; None where none is found."""
    tried: list[Any] = [None, True, False, 0, 1, -1, 1.5, 10**9, "", "a", "abcdefgh" * 9, [], {}, [0], ["a", 1], {"a": 1}]
    tried += ["\n" * count for count in (1, 2, 3)]  # which `.` does not match
    for schema in (writer, reader):
        with contextlib.suppress(
            ContractError, ValueError, TypeError, KeyError, RecursionError
        ):  # no values can be made of it
            tried += edges(schema if isinstance(schema, dict) else {}, most=400)
    if isinstance(reader, dict):  # names that the writer does not name, and the reader does
        patterns = (re.sub(r"\W", "", each) for each in reader.get("patternProperties", {}))
        names = dict.fromkeys([*reader.get("properties", {}), *patterns])
        tried += [{name: value} for name in names for value in ("text", "a text of 20 letters", 1, True, None)]
    for value in tried:
        try:
            if is_valid(writer, value) and not is_valid(reader, value):
                return [value]
        except Exception:  # no schema of 2020-12, whatever their checker raises
            return None
    return None


def judge(pair: Pair) -> tuple[str, str]:
    """Return the verdict on a pair and what it rests on."""
    writer, reader = modern(pair.writer), modern(pair.reader)
    try:
        check_schema(writer, "writer")
        check_schema(reader, "reader")
    except ContractError as error:
        return "outside", str(error)
    except Exception as error:
        return "CRASH", f"{type(error).__name__}: {error}"
    try:
        found = differences(writer, reader)
    except ContractError as error:
        return "not compared", str(error)
    except Exception as error:
        return "CRASH", f"{type(error).__name__}: {error}"
    shown = counterexample(writer, opened(reader))
    if not found and shown is not None:
        return "FALSE FITS", json.dumps(shown[0])
    if (not found) == pair.is_fit:
        return "agrees", ""
    if found:
        return ("value", json.dumps(shown[0])) if shown is not None else ("FALSE BREAKS", str(found[0]))
    shown = counterexample(writer, reader)
    return ("open", json.dumps(shown[0])) if shown is not None else ("fits, no value", "")


_COLUMNS = {
    "pairs": (),
    "outside": ("outside",),
    "compared": ("agrees", "value", "open", "fits, no value", "FALSE BREAKS", "FALSE FITS", "not compared", "CRASH"),
    "agree": ("agrees",),
    "shown by a value": ("value",),
    "open reader": ("open",),
    "no value": ("fits, no value",),
    "false breaks": ("FALSE BREAKS", "not compared"),
    "false fits": ("FALSE FITS",),
    "crashes": ("CRASH",),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--suites", type=Path, required=True, help="the folder with the clones")
    options.add_argument("--show", action="store_true", help="show each pair on which we do not agree")
    given = options.parse_args()
    sys.stdout.write(f"| suite | {' | '.join(_COLUMNS)} |\n|---|{'---|' * len(_COLUMNS)}\n")
    total: collections.Counter[str] = collections.Counter()
    shown: list[str] = []
    for name, read in SUITES.items():
        repository = Repository(given.suites / name.partition("/")[2])
        counts: collections.Counter[str] = collections.Counter()
        for pair in read(repository):
            verdict, why = judge(pair)
            counts.update((verdict, "pairs"))
            if verdict not in ("agrees", "outside"):
                shown.append(
                    f"{verdict}: {pair.name} (it says {'fits' if pair.is_fit else 'breaks'}): {why[:200]}\n"
                    f"    writer {json.dumps(pair.writer)[:400]}\n    reader {json.dumps(pair.reader)[:400]}\n"
                )
        total += counts
        sys.stdout.write(_row(f"{name} at {repository.commit()[:10]}", counts))
    sys.stdout.write(_row("all", total))
    if given.show:
        sys.stdout.writelines(sorted(shown))
    return 1 if total["FALSE FITS"] or total["CRASH"] else 0


def _row(name: str, counts: collections.Counter[str]) -> str:
    numbers = [counts["pairs"] if not verdicts else sum(counts[each] for each in verdicts) for verdicts in _COLUMNS.values()]
    return f"| {name} | {' | '.join(f'{each:,}' for each in numbers)} |\n"


if __name__ == "__main__":
    sys.exit(main())
