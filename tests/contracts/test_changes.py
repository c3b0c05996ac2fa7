"""What changed between two versions: in words, as Markdown, and what may be taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model
from typer.testing import CliRunner

from eventbus import ContractError, Event
from eventbus.cli.contracts import app
from eventbus.contracts import contract_of, load_contracts, publish
from eventbus.contracts.changes import changes
from eventbus.contracts.publish import unpublish
from eventbus.contracts.views import View


def event(version: int, **fields: Any) -> type[Event]:
    made: type[Event] = create_model("E", __base__=Event, __cls_kwargs__={"topic": "t", "version": version}, **fields)
    return made


ONE = event(1, amount=(int, ...), note=(str, ...))
TWO = event(2, amount=(str, ...), extra=(int, 0))


def test_changes_in_words_and_as_markdown_with_who_must_act() -> None:
    found = changes(contract_of(ONE, "o"), contract_of(TWO, "o"), [View("s", "s", "handle", ONE)])
    assert (found.added, found.removed) == (["extra"], ["note"])
    assert found.changed == [("amount", "integer", "string")]
    assert any("`note` was removed" in each for each in found.lines())
    text = found.to_markdown()
    assert "| removed | `note` | string |  |" in text
    assert "s.handle" in text
    same = changes(contract_of(ONE, "o"), contract_of(ONE, "o"))
    assert same.lines() == ["t: E v1 -> E v1", "no field changed"]
    assert "Nobody must do anything" in same.to_markdown()
    with pytest.raises(ContractError, match="t/E.v1.json and elsewhere/E.v2.json are two events"):
        changes(contract_of(ONE, "o"), replace(contract_of(TWO, "o"), topic="elsewhere"))


def test_publishing_a_breaking_version_warns_and_it_can_be_taken_back(tmp_path: Path) -> None:
    folder, main, golden = tmp_path / "contracts", tmp_path / "main", tmp_path / "golden"
    publish([(ONE, "o")], main)
    publish([(ONE, "o")], folder, golden=golden)
    done = publish([(TWO, "o")], folder, golden=golden)
    assert done.refused == ()
    assert any("`note` was removed" in each for each in done.warned)
    run = CliRunner().invoke(
        app, ["diff", "t/E.v1", "t/E.v2.json", "--markdown"], env={"EVENTBUS_CONTRACTS_FROM": str(folder)}
    )
    assert run.exit_code == 4
    assert "| added | `extra` |" in run.output
    gone = unpublish(folder, "t", "E", 2, load_contracts(main), golden=golden)
    assert len(gone) == 3
    assert [each.version for each in load_contracts(folder)] == [1]
    with pytest.raises(ContractError, match="main has it"):
        unpublish(folder, "t", "E", 1, load_contracts(main))
