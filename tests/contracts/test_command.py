"""`eventbus contracts` as a process: what it prints, its exit codes, and a change that breaks fulfillment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import Done, run_command

ROOT = Path(__file__).parent.parent.parent
OWNERS = ("services.orders.events", "services.fulfillment.events", "services.email_confirmation.events")
SERVICES = ("services.orders:service", "services.fulfillment:service", "services.email_confirmation:services")


def run(*arguments: str, cwd: Path = ROOT) -> Done:
    return run_command("contracts", *arguments, folder=cwd)


def test_check_prints_who_reads_what() -> None:
    done = run("check", *SERVICES)
    assert done.code == 0, done.err
    assert (
        "fulfillment.ship reads lines, lines[].quantity, lines[].sku, order_id; tried with 66 of 66 values of OrderPlaced v1"
        in done.out
    )
    assert "7 views, 5 contracts, 0 misfits" in done.out
    assert json.loads(run("check", *SERVICES, "--json").out)["misfits"] == []


def test_impact_and_evolve() -> None:
    done = run("impact", "orders_placed.total")
    assert "email_confirmation.confirm reads orders_placed.total" in done.out
    assert "nobody reads: customer_id, note, placed_at" in done.out
    assert run("evolve").code == 0


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of orders, in which `quantity` of a line is renamed to `amount`, as version 2."""
    for name in ("services", "contracts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    events = tmp_path / "services" / "orders" / "events.py"
    text = events.read_text()
    text = text.replace("    quantity: int", "    amount: int")
    text = text.replace('topic="orders_placed", version=1', 'topic="orders_placed", version=2')
    events.write_text(text)
    return tmp_path


def test_a_change_that_breaks_fulfillment_is_refused_as_the_guide_shows(changed: Path) -> None:
    assert run("publish", "services.orders.events", "--golden", "golden", cwd=changed).code == 0
    evolve = run("evolve", cwd=changed)
    assert evolve.code == 4
    assert "field `lines[].quantity` was removed, and readers of v1 may rely on it" in evolve.err
    check = run("check", "services.fulfillment:service", cwd=changed)
    assert check.code == 4
    assert "field `lines[].quantity` is needed, and is not sent; this breaks fulfillment.ship" in check.err
    guide = (ROOT / "docs" / "guides" / "contracts.md").read_text()
    for line in [*evolve.err.splitlines(), *check.err.splitlines(), *evolve.out.splitlines()]:
        assert line in guide, line


def test_a_deploy_is_asked_of_what_runs_as_the_guide_shows(changed: Path) -> None:
    def asked(*arguments: str) -> Done:
        owners = [] if "--owner" in arguments else kept
        return run("can-i-deploy", "--to", "production", "--release", "1.1.0", *owners, *arguments, cwd=changed)

    kept = [each for name in OWNERS for each in ("--owner", name)]
    environments = str(changed / "environments")
    done = run("record", *SERVICES, "--env", "production", "--release", "1.0.0", *kept, "--environments", environments)
    assert done.code == 0, done.err
    refused = asked("services.orders:service", "--owner", "services.orders.events")
    assert refused.code == 4, refused.err
    for name in ("fulfillment", "email_confirmation"):
        events = changed / "services" / name / "events.py"
        text = events.read_text().replace("import Field", "import AliasChoices, Field")
        events.write_text(
            text.replace("Field(ge=1, le", 'Field(validation_alias=AliasChoices("quantity", "amount"), ge=1, le')
        )
    done = asked(*SERVICES)
    assert done.code == 0, done.err
    guide = (ROOT / "docs" / "guides" / "contracts.md").read_text()
    for line in [*refused.err.splitlines(), *done.out.splitlines()]:
        assert line in guide, line
    last = json.loads(asked(*SERVICES, "--json").out)["order"][-1]
    assert last == {"service": "orders", "release": "1.1.0"}
    assert "did you mean production?" in asked(*SERVICES, "--to", "produktion").err
    assert "belong to none of orders" in asked("services.orders:service").err


def test_a_change_without_a_new_version_is_refused(changed: Path) -> None:
    events = changed / "services" / "orders" / "events.py"
    events.write_text(events.read_text().replace("version=2", "version=1"))
    done = run("publish", "services.orders.events", "--golden", "golden", cwd=changed)
    assert done.code == 4
    assert "give the class version=2" in done.err
    assert run("publish", "services.orders.events", "--golden", "golden", "--check", cwd=changed).code == 4


def test_contracts_of_main_must_stay(changed: Path) -> None:
    (changed / "contracts" / "orders_placed" / "OrderPlaced.v1.json").unlink()
    done = run("evolve", "--against", str(ROOT / "contracts"), cwd=changed)
    assert done.code == 4
    assert "is published and gone; retire it" in done.err


def test_without_arguments_and_without_a_list_both_are_asked_for(changed: Path) -> None:
    for command, key in ((["check"], "services"), (["publish"], "owners")):
        done = run(*command, cwd=changed)
        assert done.code == 2
        assert f"[tool.eventbus] {key} = [...]" in done.err
    (changed / "pyproject.toml").write_text("[tool.eventbus\n")
    assert "pyproject.toml: " in run("check", cwd=changed).err


def test_documents_are_written(tmp_path: Path) -> None:
    done = run("docs", *SERVICES, "--to", str(tmp_path / "out"))
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "out" / "asyncapi.json").read_text())["asyncapi"] == "3.0.0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "services.fulfillment"], "write module:attribute"),
        (["impact", "orders_placed.total", "services.fulfillment"], "write module:attribute"),
        (["check", "no.such:service"], "no such module here"),
        (["check", "services.fulfillment:nothing"], "has no 'nothing'"),
        (["check", "services.fulfillment.app:NAME"], "no eventbus.Service"),
        (["check", "services.fulfillment:service", "--contracts", "nowhere"], "no such folder"),
        (["publish", "services.fulfillment.handlers"], "owns no event"),
        (["evolve", "--mode", "orders_placed=sideways"], "forward, backward, full or none"),
        (["retire", "orders_placed", "OrderPlaced", "9", "--reason", "x"], "there is no"),
    ],
)
def test_mistakes_end_with_a_line_and_no_traceback(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
