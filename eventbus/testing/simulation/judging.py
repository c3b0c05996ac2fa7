"""Judging: the user's checks, called on the world at its end or after each step, and what they say."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eventbus.runtime.redaction import one_line, text_of
from eventbus.testing.simulation.errors import SimulationError
from eventbus.testing.simulation.world import World

Check = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check that failed: which one, and what it says."""

    check: str
    text: str


class Judge:
    """Calls checks.

    Args:
        at_end, at_step: called with what `build` gave for it; one with a second parameter, or marked by `of_world`, gets the
            world as well, or instead.
    """

    def __init__(self, at_end: Sequence[Check], at_step: Sequence[Check]) -> None:
        self._at_end = [(each, _takes(each)) for each in at_end]
        self._at_step = [(each, _takes(each)) for each in at_step]

    @property
    def has_steps(self) -> bool:
        """Whether anything is to be called after each step."""
        return bool(self._at_step)

    def at_end(self, world: World) -> Iterator[Verdict]:
        """Yield what fails at the end."""
        return _judged(self._at_end, world)

    def at_step(self, world: World) -> Iterator[Verdict]:
        """Yield what fails after a step."""
        return _judged(self._at_step, world)


def of_world(check: Check) -> Check:
    """Mark a check that looks at the world itself."""
    check.takes_world = True  # type: ignore[attr-defined]
    return check


def _takes(check: Check) -> str:
    if getattr(check, "takes_world", False):
        return "world"
    try:
        positional = [
            each
            for each in inspect.signature(check).parameters.values()
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
        ]
    except (TypeError, ValueError):
        return "subject"
    return {0: "nothing", 1: "subject", 2: "both"}.get(len(positional), "both")


def _judged(checks: Sequence[tuple[Check, str]], world: World) -> Iterator[Verdict]:
    for check, takes in checks:
        given: dict[str, tuple[Any, ...]] = {
            "world": (world,),
            "subject": (world.subject,),
            "both": (world.subject, world),
            "nothing": (),
        }
        try:
            said = check(*given[takes])
        except AssertionError as error:
            name = _name(check, error)
            text = one_line(text_of(error).strip().split("\n")[0] or "the assertion does not hold", most=200)
            yield Verdict(name, f"{name}: {text}")
        except SimulationError:
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
            raise SimulationError(
                f"the check {_name(check)} raised {type(error).__name__}: {one_line(text_of(error), most=200)} ({where}); a "
                "check raises AssertionError or returns False where something is wrong"
            ) from error
        else:
            if said is False:
                yield Verdict(_name(check), f"{_name(check)}: returned False")


def _name(check: Check, error: BaseException | None = None) -> str:
    """Return a check's name; for a lambda that calls one that fails, that one's."""
    name = getattr(check, "__name__", type(check).__name__)
    if name != "<lambda>":
        return name
    code = getattr(check, "__code__", None)
    first = code.co_varnames[0] if code is not None and code.co_argcount else ""
    inner = ""
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        inner = next((each.name for each in frames[1:] if each.name not in ("<lambda>", "_judged")), "")
    elif code is not None and code.co_names:
        inner = code.co_names[-1]
    return ".".join(filter(None, (first, inner))) or "the check"
