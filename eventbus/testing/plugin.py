"""The pytest plugin: the fixture `harness`, a harness without services that the test starts some on, and the seeds of the
harnesses in the report of a test that failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventbus.testing.harness import Harness

_MODULE = "eventbus.testing.harness"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the longest time of simulations from the command line."""
    parser.getgroup("eventbus").addoption(
        "--simulate-seconds",
        type=float,
        metavar="SECONDS",
        help="longest real time of each simulate(...), in place of its own seconds=",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hand it on, which processes of xdist get with the environment, and name the marker of the conformance suite."""
    config.addinivalue_line("markers", "stress: the conformance suite's mode in which all runs many times in parallel")
    seconds = config.getoption("--simulate-seconds")
    if seconds is not None:
        os.environ["EVENTBUS_SIMULATE_SECONDS"] = str(seconds)


@pytest.fixture
def harness() -> Iterator[Harness]:
    """A harness to start services on; failures that the test did not see surface at its end."""
    from eventbus.testing.harness import Harness

    with Harness() as made:
        yield made


def pytest_runtest_logstart() -> None:
    """Forget the harnesses of the test before."""
    if _MODULE in sys.modules:  # not loaded here: a test that needs no harness needs no gevent either
        sys.modules[_MODULE].made.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the seeds with which the same run can be had again."""
    report = yield
    made: list[Harness] = sys.modules[_MODULE].made if _MODULE in sys.modules else []
    if report.failed and made:
        seeds = ", ".join(dict.fromkeys(str(each.seed) for each in made))
        report.sections.append(("eventbus harness", f"the same run again: Harness(seed=...) or EVENTBUS_SEED={seeds}"))
    return report
