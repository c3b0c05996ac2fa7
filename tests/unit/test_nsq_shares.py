"""Who may hold how many deliveries: shares of max in flight, turns and RDY, without I/O."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventbus.engines.nsq.ready import Turns, Window, grant, shares


@given(total=st.integers(0, 5000), wants=st.lists(st.none() | st.integers(0, 3000), max_size=50))
def test_shares_use_all_and_lend_what_is_not_wanted(total: int, wants: list[int | None]) -> None:
    """1.3 items 11 to 13: the only connection gets all; where there is enough, everybody has one at least."""
    got = shares(total, wants)
    assert sum(got) == (total if wants else 0)
    if total >= len(wants):
        assert all(got)
    greedy = [share for share, want in zip(got, wants, strict=True) if want is None]
    if greedy:  # nobody who can use more has less than who can not, but for what is kept for first messages
        least = max(1, total // (4 * len(wants)))
        assert all(share <= max(min(greedy) + 1, want or 0, least) for share, want in zip(got, wants, strict=True))


@given(total=st.integers(1, 12), busy=st.lists(st.booleans(), min_size=1, max_size=8))
def test_turns_give_all_and_nobody_starves_and_the_idle_get_little(total: int, busy: list[bool]) -> None:
    turns, given = Turns(), Counter[int]()
    state = dict(enumerate(busy))
    for _ in range(20 * len(busy)):
        now = turns.next(total, state)
        assert sum(now.values()) == total
        given.update(now)
    assert all(given[index] for index in state)
    if any(busy) and not all(busy):
        assert min(given[index] for index, is_busy in state.items() if is_busy) >= max(
            given[index] for index, is_busy in state.items() if not is_busy
        )


@given(data=st.data(), count=st.integers(1, 8), total=st.integers(0, 200))
def test_never_more_in_flight_than_allowed_however_shares_move(data: Any, count: int, total: int) -> None:
    """1.3 items 3 and 13."""
    allowed = [0] * count
    in_flight = [0] * count
    for _ in range(12):
        wanted = shares(total, data.draw(st.lists(st.none() | st.integers(0, 200), min_size=count, max_size=count)))
        if sum(wanted) > total or data.draw(st.booleans()):
            wanted = [0] * count
        allowed = grant(total, wanted, allowed, in_flight)
        for index in range(count):  # nsqd pushes up to RDY; handlers answer some
            in_flight[index] = max(in_flight[index], data.draw(st.integers(0, allowed[index])))
            assert sum(in_flight) <= total
        for index in range(count):
            in_flight[index] -= data.draw(st.integers(0, in_flight[index]))


def test_grants_reach_what_is_wanted_once_everything_is_answered() -> None:
    assert grant(10, [5, 5], [10, 0], [8, 0]) == [5, 2]
    assert grant(10, [5, 5], [5, 2], [0, 0]) == [5, 5]


def test_rdy_is_one_above_what_is_held_while_quiet_and_grows_in_a_flood() -> None:
    window = Window()
    window.limit = 100
    assert [window.ready(held) for held in (0, 1, 99, 100)] == [1, 2, 100, 100]
    assert not window.received(1, 1, 300, since_answer=0.5)
    assert window.received(1, 1, 300, since_answer=0.0001)
    assert window.ready(0) == 4
    assert window.received(2, 50, 9000, since_answer=9.0)
    assert window.ready(0) == 16
    for _ in range(10):
        window.received(100, 100, 9000, since_answer=0.0)
    assert window.ready(0) == 100
    window.quiet()
    assert window.ready(3) == 4
    window.limit = 0
    assert window.ready(5) == 0
