"""Unhandled: what is said of an event whose type no handler takes: loudly once, since a wrong name looks just like this."""

from __future__ import annotations

import logging
from difflib import get_close_matches

from eventbus.service import Service

_MOST_WARNINGS = 50
"""Types that are warned of: names come from outside, and there is no end to them."""


class UnhandledTypes:
    """The types that came on one topic and that no handler of a service takes."""

    def __init__(self, service: Service, topic: str) -> None:
        self._service = service.name
        self._bound = {each.type_name: each.event_type.__name__ for each in service.bindings if each.topic == topic}
        self._warned: set[str] = set()

    def about(self, type_name: str) -> tuple[int, str]:
        """Return the level of the line about an event of this type, and what it says."""
        if type_name in self._warned or len(self._warned) >= _MOST_WARNINGS:
            return logging.DEBUG, ""
        self._warned.add(type_name)
        told = f"no handler of {self._service} takes this type, so its events are finished unread (said once)"
        near = get_close_matches(type_name, self._bound, n=1, cutoff=0.5)
        if near:
            return logging.WARNING, f"{told}; view `{self._bound[near[0]]}`: did you mean name={type_name!r}?"
        return logging.WARNING, f"{told}; its handlers here take {', '.join(self._bound)}"
