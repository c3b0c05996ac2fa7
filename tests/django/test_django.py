"""Django: a project's own tests, its migration where tables are there, `manage.py eventbus_relay`, as processes."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from eventbus import Bus, Service
from eventbus.sql import Database, metadata
from tests.django.shop.events import InvoiceIssued
from tests.nsqd import Nsqd, Process
from tests.waiting import PATIENCE, eventually

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

ISSUE = """
import os, django
django.setup()
from django.db import transaction
from eventbus.django import publish_on_commit
from shop.events import InvoiceIssued
from shop.models import Invoice
with transaction.atomic():
    Invoice.objects.create(number=7)
    publish_on_commit(InvoiceIssued(number=7))
"""


@pytest.fixture
def project(new_url: Callable[[], str]) -> dict[str, str]:
    """The environment of a Django project with two databases."""
    mine = {"PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", "DJANGO_SETTINGS_MODULE": "shop.settings"}
    return {**os.environ, **mine, "DATA": new_url(), "OTHER": new_url(), "PYTHONWARNINGS": "error"}


def manage(project: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "manage.py"), *words]
    return subprocess.run(command, env=project, cwd=HERE, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_projects_own_tests_pass(project: dict[str, str]) -> None:
    done = manage(project, "test", "shop.tests", "--noinput")
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stderr and "Ran 16 tests" in done.stderr, done.stderr


def test_tables_that_are_there_stay_and_older_ones_are_refused(project: dict[str, str]) -> None:
    with Database(project["DATA"]) as database, Database(project["OTHER"]) as other:
        database.create_tables(metadata)
        other.create_tables(metadata)
        other.transact(lambda connection: connection.execute(sa.text("UPDATE eventbus_schema SET version = 1")))
        assert manage(project, "migrate").returncode == 0
        database.check_tables()
    done = manage(project, "migrate", "--database", "other")
    assert done.returncode != 0
    assert "eventbus outbox tables --create" in done.stderr


@pytest.mark.nsqd
def test_manage_py_relays_what_was_committed(
    project: dict[str, str], nsqd: Nsqd, make_bus: Callable[..., Bus], request: pytest.FixtureRequest
) -> None:
    said = manage(project, "sqlmigrate", "eventbus", "0001").stdout
    assert said.count("CREATE TABLE eventbus_") == len(metadata.tables), said
    assert manage(project, "migrate", "--run-syncdb").returncode == 0
    with Database(project["DATA"]) as database:
        database.check_tables()
    seen: list[int] = []
    service = Service("listener")
    service.on(InvoiceIssued)(lambda event: seen.append(event.number))
    make_bus(nsqd.url).start(service)
    subprocess.run([sys.executable, "-c", ISSUE], env=project, cwd=HERE, check=True, timeout=PATIENCE)
    words = ("eventbus_relay", "--bus", nsqd.url, "--", "--source", "shop-relay", "--no-receipts")
    running = Process(sys.executable, str(HERE / "manage.py"), *words, cwd=HERE, environment=project)
    request.addfinalizer(running.end)
    eventually(lambda: seen == [7], "the event of the committed transaction")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0, running.output()


def test_a_relay_of_what_it_cannot_reach_is_refused(project: dict[str, str]) -> None:
    project["DATA"] = "sqlite:///:memory:"
    done = manage(project, "eventbus_relay")
    assert done.returncode == 1
    assert "memory of one process" in done.stderr


def test_the_package_stays_small() -> None:
    assert sum(code_lines(path) for path in (ROOT / "eventbus" / "django").rglob("*.py")) <= 200


def code_lines(path: Path) -> int:
    """Return how many lines hold more than a docstring, a comment or nothing."""
    tree = ast.parse(path.read_text())
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    first = [node.body[0] for node in documented if ast.get_docstring(node) is not None]
    said = {line for node in first for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = enumerate(path.read_text().splitlines(), 1)
    return sum(1 for number, line in lines if number not in said and line.strip() and not line.strip().startswith("#"))
