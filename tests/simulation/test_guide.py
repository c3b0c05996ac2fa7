"""The guide's code runs, and prints what the guide shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "simulation.md"


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """Names of the guide's code."""
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile("\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)), GUIDE.name, "exec"), names)
    return names


def test_the_bug_is_told_as_the_guide_tells_it(guide: dict[str, Any]) -> None:
    with pytest.raises(AssertionError) as failed:
        guide["test_whatever_happens_a_cancelled_order_does_not_ship"]()
    assert f"```\n{failed.value}\n```" in GUIDE.read_text()


def test_the_rest_of_it_passes(guide: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    guide["test_the_mended_shop"]()
    assert re.sub(r"in [\d.]+ s", "in 0.3 s", capsys.readouterr().out.strip()) in GUIDE.read_text()
    guide["test_an_inbox_loses_nothing"]()
