"""The conformance suite: what the bus promises, asked of an engine. For the engines here and for those of others.

    import pytest
    from eventbus.testing.conformance import EngineWorld, Features
    from eventbus.testing.conformance.suite import *

    @pytest.fixture(scope="session")
    def world():
        yield EngineWorld("mine://localhost", Features(past=True))

Each test takes the fixture `world`: a broker, the means to open a bus on it, and the table of its `Features`.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(__name__)  # a failed promise shows its values, as in a test of one's own

from eventbus.testing.conformance.worlds import EngineWorld, Features, SharedWorld, World  # noqa: E402

__all__ = ["EngineWorld", "Features", "SharedWorld", "World"]
