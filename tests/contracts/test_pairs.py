"""Random owners and views: what the rules say is held against what the view's class does with the owner's objects."""

from __future__ import annotations

import pytest

from tests.contracts.pairs import run


@pytest.mark.parametrize("seed", range(6))
def test_whenever_a_view_is_said_to_fit_it_reads_what_the_owner_sends(seed: int) -> None:
    found = run(50, seed)
    assert {verdict: details for verdict, details in found.items() if verdict.startswith("WRONG")} == {}
    assert len(found.get("fits", ())) >= 10
    assert len(found.get("breaks, shown", ())) >= 5
    assert len(found.get("refused", ())) <= 10
