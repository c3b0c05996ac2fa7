"""The email_confirmation service; `app.build` wires it. `services` is what that gives with the environment's settings."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # made when it is asked for: importing a part of the service builds nothing
    if name == "services":
        from services.email_confirmation.app import build

        return build().services
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
