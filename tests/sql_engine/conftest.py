from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A place for a bus that nobody has made yet."""
    return tmp_path / "bus.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"
