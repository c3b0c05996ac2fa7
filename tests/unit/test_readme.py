"""The README keeps its word: its program prints what it shows, and its links lead somewhere."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

from eventbus.names import EPHEMERAL
from eventbus.outcomes.listening import CALLS
from eventbus.outcomes.record import TOPIC
from eventbus.rehearsal.messages import ANSWERS, QUESTIONS
from eventbus.rehearsal.ramp import OPERATOR
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
TOPICS = {each.removesuffix(EPHEMERAL) for each in (ANSWERS, CALLS, OPERATOR, QUESTIONS, TOPIC)}
"""The library's own."""


def test_the_shortest_program_prints_what_the_readme_shows() -> None:
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", README, re.DOTALL)
    assert found is not None
    done = subprocess.run([sys.executable, "-c", found[1]], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == found[2]


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_python_in_the_guides_compiles() -> None:
    for page in (ROOT / "docs" / "guides").glob("*.md"):
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            compile(block, page.name, "exec")


def test_every_test_that_the_docs_name_exists() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "eventbus" / "testing" / "conformance").glob("*.py")]
    sources = "".join(path.read_text() for path in files)
    for page in (ROOT / "docs").rglob("*.md"):
        for name in re.findall(r"`(test_\w+)`", page.read_text()):
            assert f"def {name}(" in sources, f"{page.name}: {name}"


def test_every_path_and_module_that_the_docs_name_exists() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "eventbus").rglob("*.py"))
    loggers = set(re.findall(r'(?:getLogger|guarded_log)\("([\w.]+)"\)', sources))
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text()
        for name in re.findall(r"`((?:eventbus|services|demo|tests|tools|ops|examples|benchmarks)/[\w./-]*)`", text):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
        for name in set(re.findall(r"(?<!tool\.)\beventbus(?:\.[a-z_]+)+\b(?!\()", text)) - loggers - TOPICS:
            assert is_there(name), f"{page.name}: {name}"


def test_every_new_name_in_the_changelog_exists() -> None:
    rows = re.findall(r"^ *\| ([^|]+) \| ([^|]+) \|$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert len(rows) > 20
    for before, now in rows:
        names = re.findall(r"\beventbus(?:\.\w+)+", now)
        assert "loggers" in before or all(map(is_there, names)), f"{before} became {now}"


def is_there(dotted: str) -> bool:
    """Whether a dotted name is a module of the library, or a name that one of its modules defines."""
    path = ROOT / dotted.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    module, _, name = dotted.rpartition(".")
    return is_there(module) and hasattr(importlib.import_module(module), name)
