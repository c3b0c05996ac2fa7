"""What is said to people: at definition time, of types that nobody handles, and on any terminal whatever the text holds."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Bus, Event, HandlerDefinitionError, Retry, Service
from eventbus.cli.session import _Console
from eventbus.doctor.channels import _orphans
from eventbus.engines.base import TopicStats
from eventbus.runtime.redaction import as_json, lines, one_line, text_of
from tests.waiting import eventually


class Placed(Event, topic="told"):
    number: int = 1


class PlacedView(Event, topic="told"):
    number: int


WRONG: dict[str, tuple[Any, str]] = {
    "retry": (3, r"retry=3: give Retry\(attempts=3\)"),
    "retry=0": (0, r"retry=0: give Retry\(attempts=1\) for no second attempt"),
    "retry=False": (False, r"retry=False: give Retry\(attempts=1\)"),
    "retry=text": ("3", "retry='3': give a Retry"),
    "retry=class": (Retry, "give a Retry"),
    "timeout": ("5", "timeout='5': give seconds as a number"),
    "timeout=0": (0, "timeout=0: give seconds"),
    "timeout=True": (True, "timeout=True: give seconds"),
    "timeout=None": (None, "timeout=None: give seconds"),
    "timeout=nan": (float("nan"), "timeout=nan: give seconds"),
    "concurrency": ("5", "concurrency='5': give a whole number"),
    "concurrency=1.5": (1.5, "concurrency=1.5: give a whole number"),
    "concurrency=True": (True, "concurrency=True: give a whole number"),
    "batch": (10, r"batch=10: give Batch\(size=10\)"),
    "inbox": (object(), "give an Inbox"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_refused_when_it_is_bound(name: str) -> None:
    value, told = WRONG[name]
    options: Any = {name.partition("=")[0]: value}
    with pytest.raises(HandlerDefinitionError, match=told):
        Service("s").on(Placed, **options)(lambda placed: None)


def test_the_first_event_of_a_type_that_no_handler_takes_is_a_warning_that_names_the_near_view(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = Service("s")
    service.on(PlacedView)(lambda view: None)
    with caplog.at_level(logging.INFO, "eventbus.outcome"), Bus("memory://") as bus:
        bus.start(service)
        for _ in range(5):
            bus.publish(Placed())
        eventually(lambda: sum(bus.dispatchers[0].counts.values()) == 5)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "view `PlacedView`: did you mean name='Placed'?" in line


def test_types_without_end_are_warned_of_so_often_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    service = Service("s")
    service.on(PlacedView)(lambda view: None)
    with caplog.at_level(logging.INFO, "eventbus.outcome"), Bus("memory://") as bus:
        bus.start(service)
        for number in range(200):
            tree = {"specversion": "1.0", "id": "i", "source": "s", "type": f"x{number}", "data": {}}
            bus.engine.publish("told", json.dumps(tree).encode(), delay=0.0, timeout=5.0)
        eventually(lambda: sum(bus.dispatchers[0].counts.values()) == 200)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 50


@given(st.text(st.characters()))
def test_no_text_steers_a_terminal(text: str) -> None:
    buffer = io.StringIO()
    console = _Console(file=buffer, force_terminal=True, soft_wrap=True, highlight=False)
    console.print(text, markup=False)
    for shown in (one_line(text, most=10_000), lines(text), buffer.getvalue(), as_json({text: [text, {"a": text}]})):
        assert not {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\x08", "\r"} & set(shown)
        shown.encode("utf-8")


@given(st.recursive(st.none() | st.binary() | st.text(st.characters()) | st.floats() | st.integers(), st.lists))
def test_any_tree_becomes_json_in_ascii(tree: Any) -> None:
    assert as_json(tree).isascii()


def test_three_megabytes_of_an_error_become_a_line() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert len(one_line("\x1b[31mx" * 500_000, most=200)) < 900
    assert text_of(Mute()) == "(its text cannot be had: SystemExit)"
    assert one_line(Mute()).startswith("(its text")


def test_receipts_without_a_channel_need_nothing_done() -> None:
    stats = {"told.receipts": TopicStats(7, {}, False), "told": TopicStats(3, {}, False)}
    found = {each.text.split()[1]: each for each in _orphans(stats, [])}
    assert "eventbus declare" not in found["told.receipts"].mend
    assert "nothing need be done" in found["told.receipts"].text
    assert "eventbus declare" in found["told"].mend
