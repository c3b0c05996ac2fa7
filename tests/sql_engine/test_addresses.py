"""What a bus URL may name, and what is said of the rest; never is a half-made schema left."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from eventbus import Bus, ConfigurationError, Event, InvalidNameError
from eventbus.engines.sql import schema, sqlite_file
from tests.waiting import PATIENCE


class Noted(Event, topic="noted"):
    number: int


def _tables(file: Path) -> set[str]:
    connection = sqlite3.connect(file)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "needs a file"),
        ("sqlite:///", "needs a file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite://bus.db", "names a host"),
        ("sqlite:///some/folder/", "is a directory"),
        ("sqlite:////nowhere/at/all/bus.db", "no directory /nowhere/at/all"),
        ("sqlite:///bus.db?retain=soon", "option 'retain'.*such as 7d"),
        ("sqlite:///bus.db?retain=-1", "option 'retain'"),
        ("sqlite:///bus.db?poll=0", "option 'poll'"),
        ("sqlite:///bus.db?synchronous=off", "option 'synchronous'"),
        ("sqlite:///bus.db?speed=fast", "unknown option 'speed'"),
    ],
)
def test_a_wrong_url_is_told_at_once(url: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=said):
        Bus(url)
    assert not list(tmp_path.iterdir())


def test_a_relative_and_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Bus("sqlite:///near.db?retain=12h&poll=50ms&synchronous=normal") as bus:
        bus.publish(Noted(number=1))
    with Bus(f"sqlite:///{tmp_path}/far.db") as bus:
        bus.publish(Noted(number=1))
    assert {each.name for each in tmp_path.iterdir()} == {"near.db", "far.db"}


def test_the_file_is_its_owners_alone_and_says_whose_it_is(file: Path, url: str) -> None:
    with Bus(url) as bus:
        bus.publish(Noted(number=1))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA application_id").fetchone()[0] == sqlite_file.APPLICATION
    assert connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
    connection.close()


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="that is a directory"):
        Bus(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_refused_and_left_alone(file: Path, url: str) -> None:
    file.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(ConfigurationError, match=r"bus\.db: that is no SQLite database"):
        Bus(url)
    assert file.read_bytes() == b"Dear diary, " * 1000


def test_a_database_of_another_application_is_refused_and_left_alone(file: Path, url: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA application_id = 252006673")
    connection.execute("CREATE TABLE pictures (id INTEGER)")
    connection.close()
    with pytest.raises(ConfigurationError, match="belongs to another application"):
        Bus(url)
    assert _tables(file) == {"pictures"}


def test_a_database_of_the_applications_own_gets_the_tables_beside_its_own(file: Path, url: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()
    with Bus(url) as bus:
        bus.publish(Noted(number=1))
    assert {"orders", "eventbus_bus_log"} <= _tables(file)
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA application_id").fetchone()[0] == 0
    connection.close()


def test_tables_of_a_newer_library_are_refused(file: Path, url: str) -> None:
    with Bus(url) as bus:
        bus.publish(Noted(number=1))
    connection = sqlite3.connect(file)
    connection.execute("UPDATE eventbus_bus_version SET version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigurationError, match="version 99, and this library knows 1: install a newer eventbus"):
        Bus(url)


def test_older_tables_are_brought_up_to_date_and_keep_what_they_have(
    file: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bus(url) as bus:
        bus.publish(Noted(number=1))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setitem(schema.UPGRADES, 1, ("ALTER TABLE eventbus_bus_topics ADD COLUMN colour TEXT",))
    with Bus(url) as bus:
        assert bus.engine.stats()["noted"].depth == 1
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT version FROM eventbus_bus_version").fetchone()[0] == schema.VERSION
    assert connection.execute("SELECT colour FROM eventbus_bus_topics").fetchall() == [(None,)]
    connection.close()


def test_an_older_sqlite_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(ConfigurationError, match=r"SQLite 3\.34\.1; 3\.35\.0 is needed"):
        Bus(url)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_only_be_read_is_refused(file: Path, url: str) -> None:
    file.touch(0o400)
    with pytest.raises(ConfigurationError, match="cannot be opened for writing"):
        Bus(url)


def test_a_network_file_system_is_warned_of(
    file: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_file, "_file_system", lambda path: "nfs4")
    with Bus(url) as bus:
        bus.publish(Noted(number=1))
    assert "locks of a network file system are not to be trusted" in caplog.text


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "ä"])
def test_a_name_out_of_rule_is_refused(url: str, name: str) -> None:
    with Bus(url) as bus:
        with pytest.raises(InvalidNameError):
            bus.engine.publish(name, b"x", delay=0.0, timeout=PATIENCE)
        with pytest.raises(InvalidNameError):
            bus.engine.declare("fine", [name])
        with pytest.raises(InvalidNameError):
            bus.engine.pause("fine", name)
        assert bus.engine.stats() == {}
