"""Every block of code of the docs runs; a command is one that there is. Tutorial and tasks are followed by test_pages.py."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from eventbus.cli.app import app
from tests.docs.pages import Block, blocks_of
from tests.docs.surroundings import AROUND
from tests.nsqd import Nsqd
from tests.postgres import own_database
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
FOLLOWED = [ROOT / "docs" / "tutorial.md", *(ROOT / "docs" / "tasks").glob("*.md")]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page not in FOLLOWED]
BLOCKS = [(page.relative_to(ROOT).as_posix(), block) for page in PAGES for block in blocks_of(page)]
PLAIN = {"nginx", "yaml"}
"""What only others can run."""


def of(*languages: str) -> list[tuple[str, Block]]:
    return [(page, block) for page, block in BLOCKS if block.language in languages]


@pytest.mark.nsqd
@pytest.mark.parametrize("page", sorted({page for page, _ in of("python")}))
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, nsqd: Nsqd, postgres_server: str) -> None:
    blocks = [block.text for name, block in of("python") if name == page]
    before = AROUND.get(page, [""] * (len(blocks) + 1))  # what stands alone needs nothing
    assert len(before) == len(blocks) + 1, (
        f"{page} has {len(blocks)} blocks of Python; say in surroundings.py what is around"
    )
    program = "".join(f"{around}\n{block}\n" for around, block in zip(before, [*blocks, ""], strict=True))
    with own_database(postgres_server) as url:
        program = re.sub(r"postgresql(\+psycopg)?://\w+@localhost/\w+", lambda found: _with(url, found[1]), program)
        program = program.replace("nsq://127.0.0.1:4161", nsqd.url)
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples' / 'outbox'}",
            "DATABASE_URL": _with(url, "+psycopg"),
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def _with(url: str, driver: str | None) -> str:
    return url.replace("postgresql://", f"postgresql{driver or ''}://")


def _lines() -> list[tuple[str, str]]:
    found = []
    for page, block in of("", "sh", "console"):
        text = block.text.replace("\\\n", " ")
        found += [(page, line.removeprefix("$ ")) for line in text.splitlines()]
    return found


COMMANDS = sorted({line for _, line in _lines() if re.match(r"eventbus [a-z]", line) and "[OPTIONS]" not in line})


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_docs_is_one_that_there_is(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EVENTBUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EVENTBUS_DATABASE_URL", "sqlite://")  # may say what --database says
    words = shlex.split(re.split(r"\s(?:[|&>]|&&)\s", line)[0], comments=True)[1:]
    command: Any = get_command(app)
    context = command.make_context("eventbus", words)
    while hasattr(command, "resolve_command"):
        _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = typer.Context(command, parent=context)
        context = command.make_context(command.name, list(words), parent=context.parent)


def test_make_has_each_target_that_the_docs_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for _, line in _lines() for word in re.findall(r"^make ([a-z-]+)", line)}
    assert named and named <= targets


def test_data_in_the_docs_can_be_read() -> None:
    for _, block in of("toml"):
        tomllib.loads(block.text)
    for _, block in of("json"):
        json.loads(block.text)
    for _, block in of("ini"):
        configparser.ConfigParser(interpolation=None).read_string(block.text)


def test_no_block_is_of_a_kind_that_nobody_runs() -> None:
    known = {"", "sh", "console", "python", "toml", "json", "ini"} | PLAIN
    assert {block.language for _, block in BLOCKS} <= known
