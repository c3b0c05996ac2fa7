"""A throwaway PostgreSQL cluster on a free port of the loopback, or the one that DATABASE_URL names."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa

from tests.nsqd import Process
from tests.ports import HOST, free_port
from tests.waiting import eventually


def _program(name: str) -> str:
    """Return the path of a PostgreSQL program: of Debian's newest package, or on the path."""
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(packaged[-1]) if packaged else shutil.which(name)
    if found:
        return found
    message = f"{name} is not here; install Debian's package postgresql, or set DATABASE_URL"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


class Cluster:
    """A PostgreSQL server of the tests alone."""

    def __init__(self, *, durable: bool = False) -> None:
        self._fsync = "on" if durable else "off"
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-of-tests-"))
        # the server refuses to run as root
        self._as = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self.folder, "nobody", "nogroup")
        make = [
            _program("initdb"),
            "-D",
            str(self.folder / "data"),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run([*self._as, *make], check=True, capture_output=True, cwd=self.folder)
        self.port = free_port()
        self.start()

    def start(self) -> None:
        options = [
            "-h",
            HOST,
            "-p",
            str(self.port),
            "-k",
            str(self.folder),
            "-c",
            f"fsync={self._fsync}",
            "-c",
            "max_connections=200",
            "-c",
            "dynamic_shared_memory_type=mmap",  # goes with the folder, where POSIX segments outlive a server that is killed
        ]
        command = (*self._as, _program("postgres"), "-D", str(self.folder / "data"), *options)
        self.process = Process(*command)
        eventually(lambda: self._answers(command), "the PostgreSQL server")

    def _answers(self, command: Sequence[str]) -> bool:
        if self.process.process.poll() is not None:
            # the children of a server that was killed hold its memory for a moment, and a new one refuses to begin meanwhile
            self.process.end()
            self.process = Process(*command)
            return False
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def restart(self) -> None:
        """Kill the server as a crash does, and start it again."""
        self.process.end()
        self.start()

    def end(self) -> None:
        self.process.end()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def own_database(server_url: str, *, like: str | None = None) -> Iterator[str]:
    """Make a database for one test on a server, and drop it afterwards.

    Args:
        like: URL of a database on this server of which it is a copy; nothing may be connected to that one.
    """
    name = f"test_{uuid4().hex}"
    url = sa.make_url(server_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        # to copy its files takes half of the work that it is to write each of their pages into the log
        strategy = " STRATEGY file_copy" if connection.info.server_version >= 150_000 else ""
        template = "" if like is None else f' TEMPLATE "{sa.make_url(like).database}"'
        connection.execute(f'CREATE DATABASE "{name}"{template}{strategy}')
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
