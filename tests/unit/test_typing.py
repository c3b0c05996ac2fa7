"""What a type checker says of right and wrong use."""

from __future__ import annotations

import re
from pathlib import Path

import mypy.api

FOLDER = Path(__file__).parent.parent / "typing"
ROOT = FOLDER.parent.parent
# the cache of `make type`, which has just read the library
OPTIONS = ["--strict", "--cache-dir", str(ROOT / ".mypy_cache"), "--config-file", str(ROOT / "pyproject.toml")]


def test_right_use_is_accepted_and_each_wrong_line_rejected() -> None:
    right, wrong = FOLDER / "right.py", FOLDER / "wrong.py"
    out, _, _ = mypy.api.run([*OPTIONS, str(right), str(wrong)])
    errors = set(re.findall(r"(right|wrong)\.py:(\d+): error", out))
    marked = {("wrong", str(number)) for number, line in enumerate(wrong.read_text().splitlines(), 1) if "# wrong:" in line}
    assert errors == marked, out
