"""Contracts in code review: SARIF that its official schema takes, and the ready steps of GitHub and GitLab."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from eventbus.cli.contracts import app
from eventbus.contracts import breaks, contract_of, publish
from eventbus.contracts.sarif import sarif
from eventbus.contracts.views import View, check_views
from tests.contracts.test_changes import ONE, TWO
from tests.contracts.test_documents import missing
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
CI = ROOT / "ops" / "ci"
SCHEMA = (
    ROOT / "tools" / "asyncapi" / "node_modules" / "@microsoft" / "jest-sarif" / "lib" / "schemas" / "sarif-2.1.0-rtm.5.json"
)


def check_sarif(log: Any) -> list[dict[str, Any]]:
    """Hold a log against the official schema, and against what code review needs beyond it; return its results."""
    if not SCHEMA.exists():
        missing("the schema of SARIF is not here; npm ci --prefix tools/asyncapi")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(log)
    driver, results = log["runs"][0]["tool"]["driver"], log["runs"][0]["results"]
    for each in results:
        assert driver["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
        assert each["locations"], "code review shows nothing without a place"
    found: list[dict[str, Any]] = results
    return found


def _place(result: dict[str, Any]) -> tuple[str, int]:
    place = result["locations"][0]["physicalLocation"]
    return place["artifactLocation"]["uri"], place["region"]["startLine"]


def test_check_and_diff_print_sarif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    publish([(ONE, "o")], Path("contracts"), golden=Path("golden"))
    publish([(TWO, "o")], Path("contracts"), golden=Path("golden"))
    done = CliRunner().invoke(app, ["diff", "t/E.v1", "t/E.v2", "--sarif"])
    assert done.exit_code == 4
    results = check_sarif(json.loads(done.output))
    assert {each["ruleId"] for each in results} == {"contract-break"}
    lines = Path("contracts/t/E.v2.json").read_text().splitlines()
    uri, line = next(_place(each) for each in results if "`amount`" in each["message"]["text"])
    assert uri == "contracts/t/E.v2.json"
    assert '"amount": {' in lines[line - 1]
    Path("golden/t/E.v1.json").write_text("{")
    fine = CliRunner().invoke(app, ["check", "services.orders:service", "--contracts", str(ROOT / "contracts"), "--sarif"])
    assert fine.exit_code == 0, fine.output
    assert check_sarif(json.loads(fine.output)) == []


def test_a_misfit_points_at_the_view(tmp_path: Path) -> None:
    from services.fulfillment.events import OrderPlaced

    contract = contract_of(OrderPlaced, "o")
    narrower = contract.__class__(
        **{**{n: getattr(contract, n) for n in contract.__slots__}, "schema": {**contract.schema, "required": []}}
    )
    found = check_views([View("fulfillment", "fulfillment", "ship", OrderPlaced)], [narrower])
    results = check_sarif(sarif(misfits=found, golden=[f"{ROOT}/README.md: does not decode"], root=ROOT))
    uri, line = _place(results[0])
    assert uri == "services/fulfillment/events.py"
    assert "class OrderPlaced" in (ROOT / uri).read_text().splitlines()[line - 1]
    assert _place(results[-1]) == ("README.md", 1)
    assert results[0]["partialFingerprints"] != results[-1]["partialFingerprints"]
    elsewhere = sarif(breaks=breaks(contract_of(ONE, "o"), contract_of(TWO, "o")), root=tmp_path)
    assert elsewhere["runs"][0]["results"]


def _commands(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for each in value.values() for found in _commands(each)]
    if isinstance(value, list):
        return [found for each in value for found in _commands(each)]
    if not isinstance(value, str):
        return []
    return re.findall(r"eventbus contracts ([^;\n>|]+)", value)


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_ready_steps_call_commands_that_there_are(name: str) -> None:
    commands = _commands(yaml.safe_load((CI / name).read_text()))
    assert {each.split()[0] for each in commands} >= {"publish", "evolve", "check", "can-i-deploy", "record"}
    group: Any = get_command(app)
    for each in commands:
        command, *arguments = shlex.split(each)
        group.commands[command].make_context(command, arguments)  # an option that there is not ends here


def test_what_changed_is_said_for_each_new_version(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        missing("git is not here")

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)

    git("init")
    publish([(ONE, "o")], tmp_path / "contracts")
    git("add", ".")
    git("commit", "-m", "one")
    git("checkout", "-b", "change")
    publish([(TWO, "o")], tmp_path / "contracts")
    git("add", ".")
    git("commit", "-m", "two")
    done = subprocess.run(
        ["sh", str(CI / "changed-contracts.sh"), "main"],
        cwd=tmp_path,
        env={**os.environ, "EVENTBUS": f"{sys.executable} -m eventbus.cli", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "### t: E v1 to E v2" in done.stdout
    assert "| removed | `note` |" in done.stdout
