"""Two processes and a file, as README and the page for it say."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import Reader, blocks_of
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "tasks" / "two-processes.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Someone who has the library, and terminals, which show each line at once."""
    folder = tmp_path / "reader"
    folder.mkdir()
    made = Reader(folder, Path(sys.executable).parent, PYTHONUNBUFFERED="1")
    yield made
    made.end()


def test_the_readme_has_two_processes_in_five_lines_and_they_do_it(reader: Reader) -> None:
    blocks = blocks_of(README)
    program = next(block.text for block in blocks if block.language == "python")
    (form,) = [block.text for block in blocks if block.language == "sh" and "sqlite:///" in block.text]
    lines = [line for line in form.splitlines() if line]
    assert len(lines) == 5, "the README says five"
    reader.write("shop.py", re.sub(r"^with Bus.*", "", program, flags=re.DOTALL | re.MULTILINE))
    reader.type(lines[0].split("  ")[0])
    reader.type("\n".join(lines[1:]))
    eventually(lambda: "shipped A2" in reader.log.read_text(), "the service says that it has shipped it")


def test_the_page_leads_from_one_process_to_two(reader: Reader) -> None:
    reader.follow(PAGE)
    eventually(lambda: {"shipped A2", "noted A2"} <= set(reader.log.read_text().splitlines()), "both services say so")
    reader.type("python sell.py A3")
    eventually(lambda: {"shipped A3", "noted A3"} <= set(reader.log.read_text().splitlines()), "both services say so")
    assert reader.log.read_text().count("shipped A2") == 1
