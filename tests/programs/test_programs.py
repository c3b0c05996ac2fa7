"""The examples under their real servers: whatever is killed, each invoice has one entry, and there is no other entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nsqd import Nsqd
from tests.postgres import Cluster
from tests.programs.world import COUNT, EXAMPLES, World, introduced, requests_to
from tests.waiting import eventually

DJANGO = EXAMPLES / "django_app"
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "--worker-class"]
UVICORN = ["uvicorn", "--port", "{port}", "--log-level", "warning", "fastapi_app:app"]
MIGRATE = ["manage.py", "migrate", "--run-syncdb", "--verbosity", "0"]
PROGRAMS = {
    "script": (None, EXAMPLES, [["shop.py"]]),
    "flask-sync": ([*GUNICORN, "sync", "flask_app:app"], EXAMPLES, [["shop.py"]]),
    "flask-gthread": ([*GUNICORN, "gthread", "--threads", "4", "flask_app:app"], EXAMPLES, [["shop.py"]]),
    "flask-preload": ([*GUNICORN, "gthread", "--preload", "flask_app:app"], EXAMPLES, [["shop.py"]]),
    "flask-gevent": ([*GUNICORN, "gevent", "flask_app:app"], EXAMPLES, [["shop.py"]]),
    "django": ([*GUNICORN, "sync", "billing.wsgi"], DJANGO, [MIGRATE]),
    "fastapi": (UVICORN, EXAMPLES, [["shop.py"]]),
}


@pytest.fixture
def world(request: pytest.FixtureRequest, cluster: Cluster, nsqd: Nsqd, tmp_path: Path) -> Iterator[World]:
    server, folder, setup = PROGRAMS[request.param]
    made = World(cluster, nsqd, tmp_path, server, folder, setup)
    yield made
    made.end()


@pytest.mark.nsqd
@pytest.mark.parametrize("world", PROGRAMS, indirect=True)
def test_each_invoice_has_one_entry_whatever_is_killed(world: World) -> None:
    try:
        issue_and_kill(world)
    except AssertionError as error:
        error.add_note(world.told())
        raise


def issue_and_kill(world: World) -> None:
    introduced(world)
    kills = [world.kill_nsqd, world.kill_database, world.kill_relay, world.kill_application]
    with requests_to(world) as requests:
        for number, kill in enumerate(kills):
            least = 20 + 40 * number
            eventually(lambda least=least: len(requests.done) >= least, f"{least} requests")  # type: ignore[misc]
            kill()
        eventually(lambda: len(requests.done) == COUNT - 1, "all requests")
    assert world.invoices() == list(range(COUNT))
    eventually(lambda: len(world.entries()) >= COUNT and world.unsettled() == 0, "entries and receipts of all invoices")
    assert world.entries() == list(range(COUNT))


@pytest.mark.parametrize("name", ["script.py", "flask_app.py", "fastapi_app.py", "django_app/billing/urls.py"])
def test_the_bus_takes_few_lines(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    of_the_bus = [line for line in lines if re.search(r"eventbus|[oO]utbox|InvoiceIssued|publish_on_commit", line)]
    assert 3 <= len(of_the_bus) <= 15


def test_the_guide_shows_the_examples_as_they_are() -> None:
    guide = (EXAMPLES.parent.parent / "docs" / "guides" / "publishers.md").read_text()
    for name in ("flask_app.py", "fastapi_app.py"):
        program = (EXAMPLES / name).read_text().split('"""\n\n', 1)[1]
        assert f"```python\n{program}```" in guide, name
