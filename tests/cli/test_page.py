"""`eventbus page`: what is wrong is told before anything is served. What it serves: tests/page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import run_command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bus", "memory://"), "lives in one process"),
        (("--host", "0.0.0.0"), "give --token"),
        (("--allow", "replay"), "needs a token"),
        (("--allow", "fly", "--token", "t" * 16), "cannot allow fly"),
        (("--token", "short"), "--token new"),
        (("--token-file", "empty"), "--token new"),
        (("--token-file", "nothing"), "does not exist"),
        (("--port", "70000"), "--port"),
        (("--host", "no.such.host.invalid", "--token", "t" * 16), "give another host"),
        (("--database", "sqlite:///nothing.db"), "there is no file"),
        (("--database", "mysql://x/y"), "mysql"),
        (("--outbox", "mysql://x/y"), "mysql"),
        (("--service", "nothing:here"), "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_wrong_is_told_at_once(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    (tmp_path / "empty").touch()
    done = run_command("page", "--port", "0", *words, folder=tmp_path, EVENTBUS_URL=f"sqlite:///{tmp_path}/bus.db")
    assert done.code == 2, done.err
    assert told in " ".join(done.err.split()) and "Traceback" not in done.err
