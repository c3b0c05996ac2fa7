"""The pytest plugin: the fixture `harness`, a harness without services that the test starts some on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventbus.testing.harness import Harness


@pytest.fixture
def harness() -> Iterator[Harness]:
    """A harness to start services on; failures that the test did not see surface at its end."""
    from eventbus.testing.harness import Harness

    with Harness() as made:
        yield made
