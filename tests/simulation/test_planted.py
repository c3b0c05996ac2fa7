"""Each planted bug is found within a minute, by a shortest schedule, and its story names the step. The same handler mended
passes all of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from eventbus.testing import SimulationFailedError, simulate
from tests.simulation.planted import PLANTED, Planted

CONTRACTS = Path(__file__).parent / "contracts"


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.build.__name__)
def test_it_is_found_and_told(planted: Planted) -> None:
    began = time.monotonic()
    with pytest.raises(SimulationFailedError) as failed:
        simulate(planted.build, planted.events, planted.check, faults=3, seconds=60, contracts=CONTRACTS)
    assert time.monotonic() - began < 60
    assert failed.value.faults == planted.faults
    assert planted.step in str(failed.value)
    for _ in range(3):
        with pytest.raises(SimulationFailedError) as again:
            simulate(planted.build, planted.events, planted.check, only=failed.value.schedule, contracts=CONTRACTS)
        assert str(again.value).split("\n")[1:2] == str(failed.value).split("\n")[1:2]
