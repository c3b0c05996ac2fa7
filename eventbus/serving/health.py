"""Health: the pages by which an orchestrator learns whether a service lives and is ready."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gevent

from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.serving")

StartResponse = Callable[[str, list[tuple[str, str]]], object]
Check = Callable[[], object]
"""Raises when the service is not ready, with the reason as its text."""


class HealthApp:
    """Answers `/healthz` (the process is alive) and `/readyz` (every check passes)."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/healthz":
            return _answer(start_response, "200 OK", {"status": "alive"})
        if path == "/readyz":
            failures = failed_checks(self._checks)
            if failures:
                return _answer(start_response, "503 Service Unavailable", {"status": "not ready", "checks": failures})
            return _answer(start_response, "200 OK", {"status": "ready"})
        return _answer(start_response, "404 Not Found", {"status": "no such page; there are /healthz and /readyz"})


def failed_checks(checks: Mapping[str, Check], *, timeout: float = 2.0) -> dict[str, str]:
    """Run checks, each at most `timeout` seconds; return the kind of error of each that failed.

    Its text stays in the log: it may name hosts and users.
    """
    failures: dict[str, str] = {}
    for name, check in checks.items():
        try:
            with gevent.Timeout(timeout, TimeoutError(f"no answer in {timeout:g} s")):
                check()
        except Exception as error:
            log.warning("check %s failed: %s: %s", name, type(error).__name__, str(error).split("\n", 1)[0])
            failures[name] = type(error).__name__
    return failures


def _answer(start_response: StartResponse, status: str, value: Mapping[str, object]) -> list[bytes]:
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
