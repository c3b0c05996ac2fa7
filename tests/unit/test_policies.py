"""Retry, backoff and names: arithmetic and state machines by examples and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Backoff, Batch, ConfigurationError, InvalidNameError, Reject, Retry, RetryLater
from eventbus.delivery.circuit_breaker import CircuitBreaker, State
from eventbus.names import check_name, dead_letter_topic
from eventbus.wire.identity import InstantWriter, new_id, parse_instant


@given(attempt=st.integers(1, 65_000), first=st.floats(0, 100), factor=st.floats(1, 1e6), extra=st.floats(0, 1e6))
def test_a_delay_lies_between_nothing_and_the_ceiling(attempt: int, first: float, factor: float, extra: float) -> None:
    policy = Retry(first=first, factor=factor, ceiling=first + extra)
    assert 0 <= policy.delay(attempt) <= policy.longest_delay(attempt) <= policy.ceiling


def test_delays_double_up_to_the_ceiling() -> None:
    policy = Retry(first=1, ceiling=5, jitter=False)
    assert [policy.delay(attempt) for attempt in (1, 2, 3, 4, 60_000)] == [1, 2, 4, 5, 5]


def test_rules_decide_which_exceptions_are_tried_again() -> None:
    policy = Retry(reject=(LookupError,), only=(LookupError, OSError))
    assert policy.retries(OSError()) and not policy.retries(KeyError()) and not policy.retries(ValueError())


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 2.5},
        {"first": -1},
        {"first": 10, "ceiling": 1},
        {"ceiling": float("inf")},
        {"factor": 0.5},
        {"reject": ValueError},
        {"only": ("ValueError",)},
    ],
)
def test_a_retry_policy_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"Retry\("):
        Retry(**wrong)  # type: ignore[arg-type]


def test_other_policies_that_cannot_work_are_refused() -> None:
    for make in (lambda: Batch(size=0), lambda: Batch(wait=-1), lambda: Backoff(after=-1), lambda: Backoff(first=0)):
        with pytest.raises(ConfigurationError):
            make()
    with pytest.raises(ValueError, match="after is a number of seconds"):
        RetryLater(after=-1)
    assert Reject("no").reason == "no"


def test_backing_off_pauses_probes_and_ends() -> None:
    state = CircuitBreaker(Backoff(after=3, first=1, ceiling=3))

    def failed(*, is_first: bool = True) -> bool:
        return state.failed(ONE, is_first=is_first)

    assert [failed(), failed(), failed()] == [False, False, True]
    assert (state.state, state.pause()) == (State.OPEN, 1)
    assert not failed() and not state.succeeded(ONE), "results from before the pause count for nothing"
    state.probe()
    assert failed() and state.pause() == 2
    state.probe()
    assert failed(is_first=False) and state.pause() == 3
    state.probe()
    assert state.succeeded(ONE) and state.state is State.CLOSED
    assert not failed()


ONE, OTHER = ("shop", "Placed"), ("stranger", "Placed")


def test_an_event_that_fails_again_and_again_counts_once() -> None:
    state = CircuitBreaker(Backoff(after=3))
    assert not any(state.failed(ONE, is_first=number == 0) for number in range(100))
    assert (state.state, state.failures) == (State.CLOSED, 1)


def test_the_events_of_one_source_that_fail_while_others_succeed_close_nobody_out() -> None:
    state = CircuitBreaker(Backoff(after=20))
    for _ in range(15):
        assert not state.failed(OTHER, is_first=True)
    state.succeeded(ONE)
    assert not any(state.failed(OTHER, is_first=True) for _ in range(200)), "it is blamed"
    assert any(state.failed(OTHER, is_first=True) for _ in range(21)), "with no success of others the proof is stale"


def test_a_source_that_is_blamed_counts_again_once_it_succeeded() -> None:
    state = CircuitBreaker(Backoff(after=4))
    for _ in range(3):
        state.failed(OTHER, is_first=True)
    state.succeeded(ONE)
    assert state.is_alert, "the success of the blamed one must be told"
    state.succeeded(OTHER)
    assert not state.is_alert
    assert [state.failed(OTHER, is_first=True) for _ in range(4)] == [False, False, False, True]


@given(
    st.lists(
        st.tuples(st.sampled_from(["failed", "again", "succeeded", "probe"]), st.sampled_from([ONE, OTHER])), max_size=200
    )
)
def test_backoff_never_reaches_a_state_without_a_way_out(steps: list[tuple[str, tuple[str, str]]]) -> None:
    state = CircuitBreaker(Backoff(after=2))
    for step, group in steps:
        if step == "succeeded":
            state.succeeded(group)
        elif step == "probe":
            state.probe()
        else:
            state.failed(group, is_first=step == "failed")
        assert (state.state is State.CLOSED) == (state.level == 0)
    state.probe()
    state.succeeded(ONE)
    assert (state.state, state.failures) == (State.CLOSED, 0)


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "x" * 64, "tail#ephemeral"])
def test_names_within_the_rule_pass(name: str) -> None:
    assert check_name(name, kind="topic") == name


@pytest.mark.parametrize("name", [None, "", "a b", "a\n", "x" * 65, "a#other", "x" * 60 + "#ephemeral"])
def test_names_out_of_rule_are_refused(name: object) -> None:
    with pytest.raises(InvalidNameError, match="channel name"):
        check_name(name, kind="channel")


def test_a_dead_letter_topic_too_long_is_refused() -> None:
    assert dead_letter_topic("orders_placed", "tail#ephemeral") == "orders_placed.tail.dead"
    with pytest.raises(InvalidNameError, match="shorten the topic or the service's name"):
        dead_letter_topic("t" * 40, "c" * 40)


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_instants_survive_being_written(one: float, other: float) -> None:
    write = InstantWriter().write
    for instant in (one, other, one):
        assert parse_instant(write(instant), attribute="time") == pytest.approx(instant, abs=2e-6)


def test_ids_are_unique_and_grow_with_time() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert new_id(1.0) < new_id(2.0)
