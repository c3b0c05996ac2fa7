"""Keys of three programs: the shop publishes orders, fulfillment subscribes, an operator mends."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from eventbus.settings import BusSettings

SECRETS = {
    name: base64.b64encode(bytes([number]) * 32).decode() for number, name in enumerate(("shop", "depot", "ops", "eve"))
}

SHOP = f"""
[keys.shop-1]
algorithm = "hmac-sha256"
secret = "{SECRETS["shop"]}"
sources = ["shop"]
"""
DEPOT = f"""
[keys.depot-1]
secret = "{SECRETS["depot"]}"
channels = ["depot"]
sources = ["depot"]
"""
OPS = f"""
[keys.ops-1]
secret = "{SECRETS["ops"]}"
operator = true
"""
EVE = f"""
[keys.eve]
secret = "{SECRETS["eve"]}"
sources = ["shop", "depot"]
channels = ["depot"]
operator = true
"""


def write_keys(folder: Path, signs_with: str | None, *parts: str) -> Path:
    """Write a file of keys and return its path."""
    path = folder / f"{signs_with or 'reader'}.toml"
    first = "" if signs_with is None else f'sign_with = "{signs_with}"\n'
    path.write_text(first + "".join(parts))
    return path


def settings(folder: Path, signs_with: str | None, *parts: str, sign: str = "require", **more: Any) -> BusSettings:
    """Return the settings of a bus with such keys."""
    return BusSettings(sign=sign, keys_file=str(write_keys(folder, signs_with, *(parts or (SHOP, DEPOT, OPS)))), **more)
