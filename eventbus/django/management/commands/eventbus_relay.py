"""`manage.py eventbus_relay`: becomes `eventbus relay` on databases of Django's settings."""

from __future__ import annotations

import os
import sys
from argparse import REMAINDER, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from eventbus.django.addresses import database_url
from eventbus.errors import ConfigurationError


class Command(BaseCommand):
    """Hands over to a process that gevent patches from its beginning; passwords travel in its environment."""

    help = (
        "Publish what was added to the outboxes of databases, until SIGTERM or Ctrl-C. Options of `eventbus relay` after --"
    )
    requires_system_checks: Any = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say what may be given."""
        parser.add_argument("--database", action="append", metavar="ALIAS", help="May be given several times.")
        parser.add_argument("--bus", help="URL of the broker; EVENTBUS_URL unless given.")
        parser.add_argument("options", nargs=REMAINDER, help="For `eventbus relay`, as -- --workers 2.")

    def handle(self, *_: Any, **given: Any) -> None:
        """Become the relay."""
        try:
            urls = [database_url(alias) for alias in given["database"] or [DEFAULT_DB_ALIAS]]
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        bus = ["--bus", given["bus"]] if given["bus"] else []
        command = [sys.executable, "-m", "eventbus.cli", "relay", *bus, *(each for each in given["options"] if each != "--")]
        os.execve(sys.executable, command, {**os.environ, "EVENTBUS_DATABASE_URL": " ".join(urls)})
