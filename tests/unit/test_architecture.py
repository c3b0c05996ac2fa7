"""The page on the architecture keeps up with the code: its picture, the files it names, both lives and every promise."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "architecture.md").read_text()
LINK = re.compile(r"\[`([^`\]]+)`\]\((\.\./[^)]+)\)")


def test_the_picture_shows_the_imports_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "tools/architecture.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_picture_is_shown_and_is_no_taller_than_a_page() -> None:
    svg = (DOCS / "architecture.svg").read_text()
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert found is not None
    assert "](architecture.svg)" in PAGE
    assert int(found[1]) <= 1200 and int(found[2]) <= 1300, "shrunk to the width of a page its words are too small"
    assert "prefers-color-scheme: dark" in svg


def test_every_file_that_the_page_names_exists_and_is_called_so() -> None:
    links = LINK.findall(PAGE)
    assert len(links) > 50
    for label, target in links:
        assert (DOCS / target).exists(), target
        assert os.path.normpath(target).endswith(label.rstrip("/")), f"{label} leads to {target}"
    for name in re.findall(r"`([\w./]+(?:\.py|/))`", LINK.sub("", PAGE)):
        assert (ROOT / name).exists() or (ROOT / "eventbus" / name).exists(), name


def test_a_delivery_lives_as_the_dispatcher_says() -> None:
    said = ast.get_docstring(ast.parse((ROOT / "eventbus" / "delivery" / "dispatcher.py").read_text()))
    assert said is not None
    part = PAGE.split("## A delivery that is handled")[1].split("\n## ")[0]
    assert steps(LINK.sub(r"`\1`", part)) == steps(said), "docs/architecture.md and dispatcher.py tell two stories"


def steps(text: str) -> list[str]:
    """Return the numbered steps of a text, without their numbers; checks that they count up from 1."""
    found = re.findall(r"^ *(\d+)\. (.*)$", text, re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    assert len(found) > 5
    return [step.strip() for _, step in found]


def test_every_promise_has_a_place_where_it_is_kept() -> None:
    promised = rows((DOCS / "guarantees.md").read_text().split("\n## ")[0])
    kept = rows(PAGE.split("## Which promise is kept where")[1])
    assert list(kept) == list(promised), "docs/architecture.md lists the promises of docs/guarantees.md, in its order"
    assert all(LINK.search(place) for place in kept.values())


def rows(text: str) -> dict[str, str]:
    """Return the rows of the one table of a text: first cell to second."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in cells[1:]}


def test_a_file_is_read_in_one_go_and_the_root_holds_what_users_write_against() -> None:
    parts = ("eventbus", "services", "demo", "benchmarks", "tests", "tools", "examples", "typings")
    files = [path for part in parts for path in (ROOT / part).rglob("*.py") if "node_modules" not in path.parts]
    assert len(files) > 300
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}
    assert len(list((ROOT / "eventbus").glob("*.py"))) <= 15
