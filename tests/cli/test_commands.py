from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from eventbus import __version__
from eventbus.cli.app import COMMANDS, app
from tests.cli.kit import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def commands() -> list[tuple[str, ...]]:
    dead = [("dead", verb) for verb in ("list", "groups", "show", "replay", "discard", "prune")]
    outbox = [("outbox", verb) for verb in ("list", "drop", "subscribers", "forget", "tables")]
    keys = [("keys", verb) for verb in ("new", "check")]
    journal = [("journal", verb) for verb in ("record", "find", "show", "export", "replay")]
    groups = ("dead", "contracts", "outbox", "keys", "new", "journal")
    return [*((name,) for name in COMMANDS if name not in groups), *dead, *outbox, *keys, *journal, ("new", "service")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example_that_names_it(shop: Shop, words: tuple[str, ...]) -> None:
    done = shop.run(*words, "--help")
    assert done.code == 0
    assert f"Example: eventbus {' '.join(words)}" in " ".join(done.out.split())


def test_a_help_in_a_terminal_loses_no_brackets(shop: Shop) -> None:
    for words in (("publish",), ("record",), ("check",)):
        assert "those of [tool.eventbus]" in " ".join(shop.run("contracts", *words, "--help").out.replace("│", " ").split())


def test_the_help_lists_all_commands_and_the_exit_codes(shop: Shop) -> None:
    done = shop.run("--help")
    assert all(f" {name} " in done.out for name in COMMANDS)
    assert "3 no broker" in done.out
    assert shop.run().code == 2


def test_the_help_says_of_each_command_what_its_own_help_begins_with(shop: Shop) -> None:
    group = get_command(app)
    context = typer.Context(group, info_name="eventbus")
    own = {name: group.get_command(context, name).help for name in COMMANDS}
    assert {name: " ".join((text or "").split("\n\n")[0].split()) for name, text in own.items()} == {
        name: entry.summary for name, entry in COMMANDS.items()
    }
    done = shop.run("--help", COLUMNS="240")
    for entry in COMMANDS.values():
        assert f" {entry.summary} " in done.out


LISTS = """
import os
import sys

from eventbus.cli.app import app

sys.modules["sqlalchemy"] = None


def ask(*arguments):
    try:
        app(list(arguments), prog_name="eventbus")
    except SystemExit:
        print("---")


ask("--help")
os.environ.update(_EVENTBUS_COMPLETE="complete_bash", COMP_WORDS="eventbus d", COMP_CWORD="1")
ask()
print(*(name for name in sys.modules if name.startswith("eventbus.cli.")))
"""


def test_help_and_completion_import_no_command_and_name_an_extra_that_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTS], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "120"}
    )
    told, completed, loaded = done.stdout.split("---\n")
    assert re.search(r"outbox +\(needs its extra: pip install 'eventbus\[sql\]'\)", told)
    assert completed.split() == ["declare", "dead", "describe", "doctor"]
    assert loaded.split() == ["eventbus.cli.app"]


def test_a_command_that_is_none_is_told(shop: Shop) -> None:
    done = shop.run("pubish")
    assert (done.code, "No such command 'pubish'" in done.err) == (2, True)


def test_describe_says_what_is_bound_where(shop: Shop) -> None:
    (tree,) = json.loads(shop.run("describe", "shop:service", "--json").out)
    (handler,) = tree["handlers"]
    assert (tree["service"], handler["topic"], handler["event"], handler["attempts"]) == (
        "shopper",
        "shop_placed",
        "Placed",
        2,
    )
    assert handler["dead_letters"] == "shop_placed.shopper.dead"
    text = shop.run("describe", "shop:service").out
    assert "shop_placed  Placed to handle" in text
    assert "2 attempts" in text
    assert shop.run("describe", "shop:nothing").code == 2
    done = shop.run("describe")
    assert (done.code, "[tool.eventbus] services" in done.err) == (2, True)


def test_the_version_is_an_option_too(shop: Shop) -> None:
    done = shop.run("--version")
    assert (done.code, done.out) == (0, f"eventbus {__version__}\n")


def test_version_as_json(shop: Shop) -> None:
    found = json.loads(shop.run("version", "--json").out)
    assert {"eventbus", "python", "gevent", "packing"} <= found.keys()


def test_colour_is_off_when_the_output_is_no_terminal(shop: Shop) -> None:
    done = shop.run("describe", "shop:service", NO_COLOR="")
    assert "\x1b" not in done.out + done.err
