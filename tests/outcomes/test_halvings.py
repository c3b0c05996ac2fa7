"""How many chains are told, by how much there is to tell."""

from __future__ import annotations

import pytest

from eventbus.outcomes.telling import _halvings


@pytest.mark.parametrize(
    ("seen", "halvings"), [(0, 0), (1000, 0), (1001, 1), (2000, 1), (2001, 2), (4000, 2), (4001, 3), (10**9, 16)]
)
def test_what_is_told_stays_below_the_most(seen: int, halvings: int) -> None:
    assert _halvings(seen) == halvings
    assert seen >> halvings <= 1000 or halvings == 16
