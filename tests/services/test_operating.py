"""What an operator relies on: the compose file's bounds, secrets by file, and roles that may do no more than they need."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from pydantic import SecretStr

from eventbus.sql import Database
from services.email_confirmation import app as email
from services.email_confirmation import tables_command as email_tables
from services.email_confirmation.settings import EmailSettings
from services.fulfillment import app as fulfillment
from services.fulfillment import tables_command as fulfillment_tables
from services.fulfillment.settings import FulfillmentSettings
from services.orders import app as orders
from services.orders import tables_command as orders_tables
from services.orders.settings import OrdersSettings
from tests.postgres import Cluster

PROJECT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_container_is_bounded_and_shut_in(name: str) -> None:
    service = SERVICES[name]
    for bound in ("mem_limit", "pids_limit", "cpus"):
        assert service[bound], bound
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["networks"]
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")
    assert "healthcheck" in service or "build" in service


def test_no_password_stands_in_the_repository_or_in_an_environment() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE")
            assert re.search(r"://[^/@]*:[^/@]*@", str(value)) is None
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("${EVENTBUS_SECRETS:-./secrets}/")
    assert "secrets/" in (PROJECT / ".gitignore").read_text().split()


def test_all_pools_together_fit_into_the_database_server() -> None:
    url = SecretStr("postgresql://somebody@127.0.0.1:1/nothing")  # pools connect when they are used
    databases = {
        "orders": orders.build(OrdersSettings(database_url=url)).store.database,
        "fulfillment": fulfillment.build(FulfillmentSettings(database_url=url)).warehouse.database,
        "email_confirmation": email.build(EmailSettings(database_url=url)).database,
    }
    taken = 0
    for name, database in databases.items():
        assert database.most_connections is not None
        taken += SERVICES[name].get("deploy", {}).get("replicas", 1) * database.most_connections
        database.close()
    (most,) = (each.partition("=")[2] for each in SERVICES["postgres"]["command"] if each.startswith("max_connections="))
    assert taken == 14 + 2 * 24 + 2 * 24, "docs/guides/containers.md says so"
    assert taken + 20 < int(most), "a rolling deploy, the owners, an operator, requests to cancel"


def test_the_database_and_the_mail_server_reach_no_nsqd() -> None:
    on_bus = {name for name, service in SERVICES.items() if "bus" in service["networks"]}
    assert on_bus == {
        *("nsqlookupd1", "nsqlookupd2", "nsqd1", "nsqd2", "nsqadmin"),
        *("orders", "fulfillment", "email_confirmation", "page"),
    }
    assert COMPOSE["networks"]["data"]["internal"] is True


def make_secrets(folder: Path) -> None:
    subprocess.run(["sh", str(PROJECT / "docker/make-secrets.sh"), str(folder)], check=True)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    made = {each.name: each.read_text() for each in folder.iterdir()}
    assert made.keys() == COMPOSE["secrets"].keys()
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    make_secrets(folder)
    assert {each.name: each.read_text() for each in folder.iterdir()} == made


@pytest.mark.parametrize("password", ["p@ss", "a/b#c?d:e", "100%41", "\u00e4 \u00e9", "plain"])
def test_a_password_from_a_file_may_hold_anything(tmp_path: Path, password: str) -> None:
    file = tmp_path / "password"
    file.write_text(password + "\n")
    for kind in (OrdersSettings, FulfillmentSettings, EmailSettings):
        settings = kind(database_url=SecretStr("postgresql://orders@postgres/orders"), database_password_file=file)
        url = settings.database()
        assert (url.username, url.password, url.host) == ("orders", password, "postgres")
        assert password not in repr(settings)
        assert password not in repr(Database(url))


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sa.URL, Path]]:
    """A PostgreSQL of its own, set up by `docker/databases.sql`."""
    if shutil.which("psql") is None:
        pytest.skip("psql is not here; install Debian's package postgresql-client")
    folder = tmp_path_factory.mktemp("operating") / "secrets"
    make_secrets(folder)
    cluster = Cluster()
    try:
        script = (PROJECT / "docker/databases.sql").read_text().replace("/run/secrets", str(folder))
        url = sa.make_url(cluster.url)
        target = url.set(drivername="postgresql").render_as_string(hide_password=False)
        subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", target], input=script, text=True, check=True, timeout=60)
        yield url, folder
    finally:
        cluster.end()


def test_the_owner_makes_tables_and_the_service_reads_and_writes_rows(set_up: tuple[sa.URL, Path]) -> None:
    url, secrets = set_up

    def settings(kind: Any, role: str, database: str, secret: str) -> Any:
        where = url.set(drivername="postgresql", username=role, password=None, database=database)
        return kind(
            database_url=SecretStr(where.render_as_string(hide_password=False)),
            database_password_file=secrets / f"{secret}_password",
        )

    for make, kind, role, secret in (
        (orders_tables.make_tables, OrdersSettings, "orders", "orders"),
        (fulfillment_tables.make_tables, FulfillmentSettings, "fulfillment", "fulfillment"),
        (email_tables.make_tables, EmailSettings, "email_confirmation", "email"),
    ):
        with pytest.raises(sa.exc.SQLAlchemyError, match="permission denied"):
            make(settings(kind, role, role, secret))
        make(settings(kind, f"{role}_owner", role, f"{secret}_owner"))
        make(settings(kind, role, role, secret))  # all are there: nothing to do, and no right is needed
        mine = Database(settings(kind, role, role, secret).database())
        try:
            for statement in ("DROP TABLE eventbus_outbox", "ALTER TABLE eventbus_inbox ADD x int", "CREATE TABLE x ()"):
                with pytest.raises(sa.exc.ProgrammingError):
                    mine.transact(lambda connection, statement=statement: connection.execute(sa.text(statement)))  # type: ignore[misc]
        finally:
            mine.close()
        other = Database(settings(kind, role, "postgres" if role == "orders" else "orders", secret).database())
        try:
            with pytest.raises(sa.exc.OperationalError, match="permission denied"):
                other.read(lambda connection: connection.execute(sa.select(1)))
        finally:
            other.close()
    warehouse = fulfillment.build(settings(FulfillmentSettings, "fulfillment", "fulfillment", "fulfillment")).warehouse
    try:
        warehouse.fill({"SKU-1": 5})
        warehouse.check()
    finally:
        warehouse.database.close()
