"""A short run of the fuzz target in every test run."""

from __future__ import annotations

from tests.fuzz.decoder import fuzz


def test_mutated_envelopes_raise_nothing_but_decode_errors() -> None:
    thrown, read = fuzz(seconds=3.0, seed=20261124)
    assert thrown > 1000
    assert 0 < read < thrown
