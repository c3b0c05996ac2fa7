"""The fulfillment service; `app.build` wires it. `service` is what that gives with the settings of the environment."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # made when it is asked for: importing a part of the service builds nothing
    if name == "service":
        from services.fulfillment.app import build

        return build().service
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
