"""Dead letters by cause: what differs from letter to letter is no cause."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.dead_letters import DeadLetter
from eventbus.dead_letters.groups import cause_of, grouped

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def letter(number: int, error: str | None, *, reason: str = "attempts used up: 8", place: str | None = None) -> DeadLetter:
    at = BEGAN + timedelta(minutes=number)
    return DeadLetter(f"id-{number}", "orders", "mail", reason, error, 8, at, at, "OrderPlaced", b"", place)


def texts(each: DeadLetter) -> tuple[str, str | None]:
    return each.reason, each.error


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no order 018f0000-0000-7000-8000-000000000001", "no order 018f0000-0000-7000-8000-000000000002"),
        ("row 17 of 20", "row 9001 of 2"),
        ("KeyError 'ada'", "KeyError 'a b c'"),
        ("ada@example.org is unknown", "x.y+z@test.co.uk is unknown"),
        ("at 0x7f00aa", "at 0x12"),
        ("TRK-4B5C6D7E8F90 is gone", "TRK-000000000001 is gone"),
        ("no article ABC-1", "no article ABC-12345"),
        ("took 1.5 s, limit 2,000", "took 12.25 s, limit 3"),
        ("12:30:01 too late", "09:15 too late"),
    ],
)
def test_ids_numbers_quotations_and_addresses_are_no_cause(one: str, other: str) -> None:
    assert cause_of(one) == cause_of(other)


def test_words_are() -> None:
    assert cause_of("the mail server says busy") == "the mail server says busy"
    assert cause_of("no such article") != cause_of("no such customer")


def test_groups_tell_how_many_when_and_where_the_largest_first() -> None:
    letters = [letter(number, f"SMTPError: 451 busy, try {number}", place="mailer.py:88 in send") for number in range(60)]
    letters += [letter(number, None, reason="rejected: no article 'X'") for number in range(3)]
    letters.append(letter(7, "SMTPError: 451 busy, try 1", place="mailer.py:99 in send"))
    first, second, third = grouped(letters, texts)
    assert (first.count, first.kind, first.place) == (60, "SMTPError", "mailer.py:88 in send")
    assert first.last - first.first == timedelta(minutes=59)
    assert first.rate == 60
    assert first.ids == ["id-0", "id-1", "id-2"]
    assert (second.count, second.kind, second.cause) == (3, "rejected", "no article …")
    assert third.count == 1
    assert len({first.key, second.key, third.key}) == 3
    assert [group.key for group in grouped(reversed(letters), texts)] == [first.key, second.key, third.key]


def test_what_is_shown_does_not_change_the_keys() -> None:
    letters = [letter(1, "ValueError: about ada")]
    hidden = grouped(letters, lambda each: ("attempts used up", "ValueError"), texts)
    assert hidden[0].cause == "about ada"
    assert hidden[0].key == grouped(letters, lambda each: ("attempts used up", "ValueError"))[0].key


@given(st.text(max_size=3000))
def test_any_text_has_a_short_cause_of_one_line(text: str) -> None:
    cause = cause_of(text)
    assert len(cause) <= 1300
    assert "\n" not in cause
    assert "\x1b" not in cause


def test_ten_thousand_take_little_time() -> None:
    letters = [letter(number, f"Error{number % 50}: {'x1y2z3 ' * 40}{number}") for number in range(10_000)]
    began = time.process_time()
    assert len(grouped(letters, texts)) == 50
    assert time.process_time() - began < 8
