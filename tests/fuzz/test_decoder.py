"""A short run of the fuzz targets in every test run."""

from __future__ import annotations

import pytest

from eventbus.wire.scanning import scan as built
from tests.fuzz import scan
from tests.fuzz.decoder import fuzz


def test_mutated_envelopes_raise_nothing_but_decode_errors() -> None:
    thrown, read = fuzz(seconds=3.0, seed=20261124)
    assert thrown > 1000
    assert 0 < read < thrown


@pytest.mark.skipif(built is None, reason="the extension in C is not built here")
def test_the_extension_takes_what_the_careful_reader_takes_and_nothing_else() -> None:
    read, scanned = scan.fuzz(bodies=20_000, number=20261126)
    assert 500 < scanned < read < 20_000
