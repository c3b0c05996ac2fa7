"""The published suite on every engine, as others run it on theirs."""

from __future__ import annotations

from eventbus.testing.conformance.suite import *  # noqa: F403
