"""Templates: the words of the mails, as text and as HTML with everything escaped."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(enabled_extensions=("html",), default=False),
    undefined=StrictUndefined,  # a word that is missing is a fault of ours and no gap in a customer's mail
    trim_blocks=False,
)


def _money(amount: Decimal) -> str:
    return f"{amount:.2f}"


_environment.filters["money"] = _money


def render(kind: str, **values: Any) -> tuple[str, str]:
    """Return a mail's text and HTML."""
    return (
        _environment.get_template(f"{kind}.txt").render(**values),
        _environment.get_template(f"{kind}.html").render(**values),
    )
