"""Where a handler failed: told in the log and kept with the dead letter, by file, line and function and without a value."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from eventbus import Event, Retry, Service
from eventbus.observe.logs import configure_logs
from eventbus.runtime.tracebacks import innermost_frame, stack_of
from eventbus.settings import BusSettings
from eventbus.testing import Harness
from tests.observe.test_logs import untouched_logging  # noqa: F401 - a fixture

CANARY = "canary.person@example.org"


class Asked(Event, topic="asked", version=1):
    email: str


def _deep(email: str) -> str:
    return json.loads(email)["missing"]  # type: ignore[no-any-return]


def _failing() -> Service:
    service = Service("asker")

    @service.on(Asked, retry=Retry(attempts=2))
    def ask(asked: Asked) -> None:
        try:
            _deep(asked.email)
        except ValueError as error:
            raise RuntimeError(f"no answer for {asked.email}") from error

    return service


def _log_of(format: str, level: str, *, tracebacks: bool) -> tuple[str, Harness]:
    stream = io.StringIO()
    configure_logs(format=format, level=level, stream=stream)  # type: ignore[arg-type]
    settings = BusSettings.model_construct(tracebacks=tracebacks)
    with Harness(_failing(), settings=settings) as harness, harness.expecting(RuntimeError):
        harness.publish(Asked(email=CANARY))
        harness.settle()
        letters = harness.dead_letters()
    assert [each.place for each in letters] == [f"test_tracebacks.py:{_RAISED} in ask"]
    return stream.getvalue(), harness


_RAISED = next(
    number
    for number, line in enumerate(Path(__file__).read_text(encoding="utf-8").splitlines(), 1)
    if 'raise RuntimeError(f"no answer' in line
)


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize(("level", "tracebacks"), [("debug", False), ("warning", True)])
def test_the_line_of_a_failure_carries_its_stack(format: str, level: str, tracebacks: bool) -> None:
    text, _ = _log_of(format, level, tracebacks=tracebacks)
    if format == "json":
        failures = [tree for tree in map(json.loads, text.splitlines()) if tree.get("error_type")]
        assert [tree["outcome"] for tree in failures] == ["retried", "parked"]
        text = "\n".join(tree["stack"] for tree in failures)
        assert text.count("\nRuntimeError from") == 1  # a stack each
        if level != "debug":
            assert CANARY not in text
    assert f'test_tracebacks.py", line {_RAISED}, in ask' in text
    assert "in _deep" in text, "what caused it is told as well"
    assert "caused by JSONDecodeError from" in text
    assert "return json.loads(email)" not in text


def test_without_it_the_line_names_the_innermost_frame_alone() -> None:
    text, _ = _log_of("json", "warning", tracebacks=False)
    (retried, parked) = map(json.loads, text.splitlines())
    for line in (retried, parked):
        assert line["event"].endswith(f"(test_tracebacks.py:{_RAISED} in ask)")
        assert "stack" not in line
    assert CANARY not in text


def test_the_standard_librarys_formatter_writes_the_stack_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "eventbus"), Harness(_failing()) as harness, harness.expecting(RuntimeError):
        harness.publish(Asked(email="x"))
        harness.settle()
    failed = [record for record in caplog.records if getattr(record, "error_type", None)]
    assert len(failed) == 2
    for record in failed:
        assert "in _deep" in logging.Formatter("%(message)s").format(record)


def _recursion(depth: int) -> None:
    if depth:
        _recursion(depth - 1)
    raise KeyError(CANARY)


def test_a_runaway_recursion_is_cut_in_the_middle() -> None:
    with pytest.raises(KeyError) as caught:
        _recursion(400)
    stack = stack_of(caught.value)
    assert len(stack.splitlines()) < 60
    assert "more frames" in stack
    assert CANARY not in stack
    place = innermost_frame(caught.value)
    assert place is not None
    assert place.startswith("test_tracebacks.py:")
    assert place.endswith("in _recursion")


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert innermost_frame(ValueError()) is None


def test_errors_that_cause_one_another_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert stack_of(first).count("ValueError from") == 2
