"""How many deliveries are taken beside those that run: as many as were answered lately."""

from __future__ import annotations

from eventbus.delivery.prefetch import Prefetch


def run(prefetch: Prefetch, per_second: float, seconds: float, *, begin: float = 0.0, is_full: bool = True) -> int:
    """Let handlers answer so many deliveries a second, looked at each 50 ms; return the limit at the end."""
    before = per_second * begin
    for step in range(int(seconds / 0.05) + 1):
        prefetch.tick(begin + step * 0.05, int(before + step * 0.05 * per_second), is_full=is_full)
    return prefetch.limit


def test_a_fast_handler_holds_all_that_it_may_and_a_slow_one_only_what_it_runs() -> None:
    assert run(Prefetch(64, 2000, 60.0), 20_000, 2.0) == 2000
    assert run(Prefetch(64, 2000, 60.0), 0.03, 20.0) <= 64 + 1
    assert run(Prefetch(1, 2000, 60.0), 2.0, 20.0) <= 1 + 2
    assert run(Prefetch(4, 2000, 60.0), 50.0, 5.0) <= 4 + 64


def test_nothing_is_hoarded_before_the_pace_is_known_and_an_idle_channel_begins_anew() -> None:
    prefetch = Prefetch(64, 2000, 60.0)
    assert prefetch.limit == 64 + 8
    run(prefetch, 20_000, 1.0)
    for step in range(60):
        prefetch.tick(10.0 + step * 0.05, 20_000, is_full=False)
    assert prefetch.limit == 64 + 8


def test_what_the_operator_says_wins_over_the_concurrency() -> None:
    prefetch = Prefetch(64, 10, 60.0)
    assert prefetch.limit == 10
    assert run(prefetch, 20_000, 1.0) == 10


def test_no_more_wait_than_can_begin_within_a_quarter_of_a_short_message_timeout() -> None:
    assert run(Prefetch(1, 2000, 2.0), 8.0, 20.0) <= 1 + 4


def test_more_is_asked_for_while_handlers_are_free() -> None:
    prefetch = Prefetch(5, 2000, 60.0)
    assert run(prefetch, 0.0, 20.0) == 5, "nothing waits for a handler that is slow"
    assert run(prefetch, 0.0, 2.0, begin=20.0, is_full=False) == 5 + 5, "of several brokers one may have all there is"
    assert run(prefetch, 1.0, 5.0, begin=22.0, is_full=False) == 5 + 5
