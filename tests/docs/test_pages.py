"""The docs do what they say: tutorial and tasks are followed word by word, with the wheel in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import Reader, installed_by
from tests.wheel.environment import Environment, build

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What a reader of the tutorial has after its first step."""
    made = Environment(tmp_path_factory.mktemp("reader"))
    made.install(build(ROOT, tmp_path_factory.mktemp("wheel")))
    extras, others = installed_by(TUTORIAL)
    made.give_dependencies(*extras, others=others)
    return made


@pytest.fixture
def reader(environment: Environment, tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "reader"
    folder.mkdir()
    made = Reader(folder, environment.bin)
    yield made
    made.end()


@pytest.mark.nsqd
def test_the_tutorial_leads_where_it_says(reader: Reader) -> None:
    reader.follow(TUTORIAL)


@pytest.mark.nsqd
@pytest.mark.parametrize("page", sorted((DOCS / "tasks").glob("*.md")), ids=lambda path: path.stem)
def test_a_task_leads_where_it_says(reader: Reader, page: Path) -> None:
    reader.follow(page)
