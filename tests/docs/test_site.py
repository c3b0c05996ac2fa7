"""The docs site builds, can be read without a network, and has each name that users write against."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent

if importlib.util.find_spec("mkdocstrings") is None:
    pytest.skip("MkDocs is not here; get it with: make docs", allow_module_level=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(made)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?([^\" >]+)|<link[^>]*stylesheet[^>]*>", page.read_text())
        assert not [each for each in loaded if each.startswith(("http", "//"))], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text()), style


def test_the_search_finds_a_page_and_a_name(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text()
    assert "publish_on_commit" in index and "Retry a dead letter" in index


def test_the_api_has_each_name_that_a_module_lists(site: Path) -> None:
    for page in (site / "api").glob("*.html"):
        module = page.stem
        text = page.read_text()
        if module.startswith("eventbus.django"):  # it asks for the settings of a project
            assert f'id="{module}' in text
            continue
        for name in getattr(importlib.import_module(module), "__all__", ()):
            assert f'id="{module}.{name}' in text or name.startswith("__"), f"{module}.{name}"


def test_programs_get_all_of_it_as_markdown(site: Path) -> None:
    listed = re.findall(r"^- \[.+\]\((.+\.md)\)$", (site / "llms.txt").read_text(), re.MULTILINE)
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} == set(listed)
    assert all((site / each).exists() for each in listed)
    whole = (site / "llms-full.txt").read_text()
    assert "# Tutorial" in whole and "# Publish from Django" in whole
