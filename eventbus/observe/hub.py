"""Hub watch: notices a handler that blocks the hub, so that no other greenlet runs: no heartbeat, no touch, no timer.

gevent's monitor, a thread of its own, sees that the running greenlet has not switched; the report is written while the
handler still blocks. A timer in the hub measures how long it was, once it is over.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
import gevent.events
from gevent.hub import get_hub

from eventbus.observe.metrics import Metrics
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.hub")

LIMIT = 0.25
"""Seconds without a switch that are reported: long enough for a pause of the garbage collector, short beside a heartbeat."""
_PULSE = 0.1
_STACK = 12


class HubWatch:
    """Watches the hub of a bus. Start and stop it in that hub; the rest may be read in any thread.

    Args:
        limit: seconds without a switch that are reported.
    """

    def __init__(self, bus: Bus, metrics: Metrics | None = None, *, limit: float = LIMIT) -> None:
        self._bus = bus
        self._metrics = metrics
        self._limit = limit
        self._hub = get_hub()
        self._last = monotonic()
        self._timer: Any = None
        self._monitor: Any = None
        self._before: tuple[float, bool] | None = None
        self._suspect: tuple[str, str, str] = ("", "", "")
        self.reason = ""
        """What blocks at the moment, for people; empty where nothing does."""

    def start(self) -> None:
        """Begin to watch."""
        config: Any = gevent.config
        self._before = (config.max_blocking_time, config.print_blocking_reports)
        config.max_blocking_time, config.print_blocking_reports = self._limit, False
        gevent.events.subscribers.append(self._on_event)
        monitors_all, config.monitor_thread = config.monitor_thread, True  # this hub, and not those of other threads
        with warnings.catch_warnings():  # without psutil it cannot watch the memory, which nobody asks for
            warnings.simplefilter("ignore")
            self._monitor = self._hub.start_periodic_monitoring_thread()
        config.monitor_thread = monitors_all
        self._last = monotonic()
        self._timer = self._hub.loop.timer(_PULSE, repeat=_PULSE)
        self._timer.start(self._pulse)

    def stop(self) -> None:
        """End the watch. Idempotent."""
        if self._timer is None:
            return
        self._timer.stop()
        self._timer.close()
        self._timer = None
        gevent.events.subscribers.remove(self._on_event)
        config: Any = gevent.config
        if self._before is not None:
            config.max_blocking_time, config.print_blocking_reports = self._before
        self._monitor.kill()
        self._hub.periodic_monitoring_thread = None

    @property
    def blocked_for(self) -> float:
        """Seconds for which no greenlet could run until now; 0.0 while all is well."""
        if self._timer is None:
            return 0.0
        waited = monotonic() - self._last - _PULSE
        return waited if waited > self._limit else 0.0

    def _pulse(self) -> None:
        now = monotonic()
        blocked = now - self._last - _PULSE
        self._last = now
        if blocked > self._limit:
            suspect, self._suspect, self.reason = self._suspect, ("", "", ""), ""
            if self._metrics is not None:
                self._metrics.blocked(*suspect, blocked)

    def _on_event(self, event: Any) -> None:
        """Called by gevent's monitor, in its thread."""
        if not gevent.events.IEventLoopBlocked.providedBy(event) or event.hub is not self._hub:
            return
        if self.reason and self.blocked_for:
            return  # told already
        try:
            self._report(event.greenlet)
        except Exception:  # a watch must not end the thread that it runs in
            log.exception("the watch over the hub failed")

    def _report(self, greenlet: Any) -> None:
        what = f"greenlet {one_line(repr(greenlet), most=100)}"
        for dispatcher in list(self._bus.dispatchers):
            run = dispatcher.execution.running.by_greenlet.get(greenlet)
            if run is not None:
                items, route, _ = run
                self._suspect = (dispatcher.service.name, dispatcher.topic, dispatcher.channel)
                first = items[0].envelope
                what = one_line(
                    f"handler {route.binding.name} of {dispatcher.topic}/{dispatcher.channel} on {first.type} {first.id}"
                )
        frame = sys._current_frames().get(self._hub.thread_ident)
        stack = traceback.extract_stack(frame)[-_STACK:] if frame is not None else []
        where = " < ".join(f"{each.name} ({each.filename}:{each.lineno})" for each in reversed(stack))
        self.reason = f"{what} blocks the hub"
        log.error("%s: nothing else has run for %.3g s; it is in %s", self.reason, self._limit, where)
