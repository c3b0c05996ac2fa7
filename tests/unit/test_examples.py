"""Each example as a process: what it prints, and that it ends well."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

FOLDER = Path(__file__).parent.parent.parent / "examples"
EXPECTED = {
    "publish.py": r"(confirmed [0-9a-f-]{36}\n){3}",
    "consume.py": r"(attempt 1: Hello to user\d@example\.org\n){3}",
    "workers.py": r"worker 1: many jobs\nworker 2: many jobs\n200 jobs done\n",
    "pubsub.py": r"10 shipped, 10 confirmed\n",
    "whole_or_reference.py": r"ada@example\.org: your order is now 99\.00\nada@example\.org: your order of 129\.90\n",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints_what_it_promises(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / name)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(EXPECTED[name], done.stdout), done.stdout


def test_the_example_of_a_test_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(FOLDER / "test_with_the_kit.py")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {*EXPECTED, "test_with_the_kit.py"}
