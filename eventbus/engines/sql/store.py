"""The store: what a process wants of its database goes together into rounds, one transaction each.

Publishes that wait share a commit, as they share an MPUB on NSQ. What was answered is gathered for some milliseconds and
written along; what a channel has is taken in the same transaction, so that a publish and its delivery cost one commit. Only
a round that publishes waits for the disk: a lost note of a finish brings an event again and loses none.

All buses of one hub on the same database share a store.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any
from uuid import uuid4

import gevent
from gevent.event import Event

from eventbus.engines.sql import administration
from eventbus.engines.sql.alone import Alone
from eventbus.engines.sql.channels import Channels
from eventbus.engines.sql.delivery import Taking
from eventbus.engines.sql.requests import Requests, as_error
from eventbus.engines.sql.rounds import Append, Round
from eventbus.engines.sql.session import Backend, Trouble
from eventbus.engines.sql.subscription import Channel, SqlSubscription
from eventbus.engines.sql.upkeep import Upkeep
from eventbus.errors import BusStateError
from eventbus.runtime.clock import Clock
from eventbus.runtime.forks import owned
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.sql_engine")

_GATHER = 0.004
"""Seconds for which answers are gathered before they are written down."""
_AGAIN = 0.25
"""Seconds until a failed round is tried again."""
_TURN = 0.1
"""Longest wait in one go for the lock that another process holds."""
_MOST_MESSAGES, _MOST_BYTES = 4096, 4 * 1024 * 1024
"""Of one transaction."""


class Store:
    """See the module's docstring. Greenlets of one hub only."""

    def __init__(self, backend: Backend, clock: Clock, *, retain: float) -> None:
        self.backend = backend
        self.clock = clock
        self.token = uuid4().hex[:16]
        self.users = 0
        self.requests = Requests(backend.name, self._kick)
        self._changed: list[Taking] = []
        self._changed_at = 0.0
        self.channels = Channels()
        self._upkeep = Upkeep(retain, self.channels, self.requests)
        self._wake = Event()
        self._alone = Alone()
        self._keeper: gevent.Greenlet[..., Any] | None = None
        self._again_at = 0.0
        self.is_closed = self.is_closing = False
        self._is_outside = True
        self.is_under_way = self._were_chores = False
        backend.watch(self.outside)
        owned(self)

    def publish(self, appends: list[Append], timeout: float) -> None:
        """Return once all are committed; raises as `Requests.wait`."""
        is_alone = self._alone.is_alone() and self.backend.is_quick and not (self.is_under_way or self.is_closing)
        self.requests.appends.extend(appends)
        if is_alone:
            with suppress(Exception):  # whoever waits is told
                self._round()
            if self._alone.is_turn_over():
                gevent.sleep(0)
        if not is_alone or self._is_outside or self.requests:
            self._kick()
        self.requests.wait(appends, timeout)

    def joined(self, subscription: SqlSubscription) -> None:
        """A subscription takes part from now on."""
        subscription.channel.subscriptions.append(subscription)
        self._upkeep.joined(time.monotonic())

    def left(self, subscription: SqlSubscription) -> None:
        """A subscription ended."""
        channel = subscription.channel
        self.channels.drop(channel, subscription)
        self.requests.tell(partial(administration.leave, channel=channel.number, token=subscription.token))

    def look_at(self, channel: Channel) -> None:
        """Have a look whether a channel has something for who has room."""
        if channel not in self.channels.looks:
            self.channels.looks[channel] = False
            self._kick()

    def look_at_topic(self, topic: str) -> None:
        """The same for all channels of a topic."""
        for channel in self.channels.of_topic(topic):
            channel.is_drained = False
            self.look_at(channel)

    def changed(self, taking: Taking) -> None:
        """There is something to write down."""
        self._changed.append(taking)
        if len(self._changed) == 1:
            self._changed_at = time.monotonic()
            self._kick()

    def outside(self) -> None:
        """Another process may have written."""
        self._is_outside = True
        if not self.is_under_way and not self.is_closed and self.backend.has_changed():
            self.channels.note_due(math.inf, all_of_them=True)
            self._kick()

    def _kick(self) -> None:
        if self.is_closed:
            raise BusStateError(f"{self.backend.name}: the engine is closed")
        if self._keeper is None:
            self._keeper = gevent.spawn(self._keep)
            self._upkeep.begin(time.monotonic())
        self._wake.set()

    def _keep(self) -> None:
        while not self.is_closed:
            try:
                self._look_around()
                if not self.is_under_way and self._is_work():
                    self._round()
            except Exception:  # nothing may end it
                log.exception("%s: a round failed", self.backend.name)
                gevent.sleep(_AGAIN)
            pause = self._pause()
            if pause <= 0:
                gevent.sleep(0)
            else:
                self._wake.wait(pause)
            self._wake.clear()

    def _look_around(self) -> None:
        """Find out whose time has come."""
        now, wall = time.monotonic(), self.clock.time()
        is_outside = self._is_outside and self.backend.has_changed()
        self._is_outside = False
        self.channels.note_due(wall, all_of_them=is_outside)
        self._upkeep.tick(now)

    def _is_work(self) -> bool:
        now = time.monotonic()
        if self.requests:
            return True
        if now < self._again_at:
            return False
        if self._changed and now - self._changed_at >= _GATHER:
            return True
        hungry = self.channels.hungry()
        if not hungry:
            return False
        if any(self.channels.looks[channel] for channel in hungry) or self._changed:
            return True
        try:
            return self.channels.probe(self.backend)
        except Trouble as error:
            self._failed(error)
            return False

    def _pause(self) -> float:
        """Return the seconds until there is something to do though nobody asks."""
        now, wall = time.monotonic(), self.clock.time()
        if self.is_under_way:
            return _TURN  # a publisher's own round, which tells when it is done
        due = min(self.channels.next_due() - wall, self._upkeep.due_at - now)
        if self._changed:
            due = min(due, self._changed_at + _GATHER - now)
        if self.requests or self.channels.looks:
            due = 0.0
        return min(max(due, self._again_at - now), 3600.0)

    def _round(self) -> None:
        durable = self.requests.are_durable()
        made = Round()
        self.is_under_way = True
        try:
            self.backend.transact(
                lambda session: made.work(session, self.token),
                durable=durable,
                deadline=time.monotonic() + _TURN,
                collect=lambda: self._collect(made, durable),
            )
        except Trouble as error:
            self._undone(made, as_error(error), is_waiting=error.kind in ("busy", "conflict"))
            self._failed(error)
        except Exception as error:
            self._undone(made, error)
            raise
        else:
            self.requests.trouble = ""
            self._done(made)
            if made.looks:  # there may be more, or another time to wait for
                self._wake.set()
        finally:
            self.is_under_way = False

    def _collect(self, made: Round, durable: bool) -> None:
        """Take what waits into a round whose turn has come."""
        made.is_begun = True
        # where others write too, chores go alone: they lock what they like, and rounds lock in an order
        is_alone = self.backend.is_shared and bool(self.requests.appends)
        if not (is_alone and self._were_chores):
            made.collect_chores(self.requests.chores, durable=durable)
        self._were_chores = is_alone and bool(made.chores)
        changed, self._changed = self._changed, []
        made.settlements = [(taking, taking.settlement()) for taking in changed]
        if made.chores and self.backend.is_shared:
            return
        if durable:
            made.collect(self.requests.appends, _MOST_MESSAGES, _MOST_BYTES)
            for topic in {append.topic for append in made.appends}:
                for channel in self.channels.of_topic(topic):
                    self.channels.looks[channel] = True
        looks, self.channels.looks = self.channels.looks, {}
        for channel in sorted(looks, key=attrgetter("number")):
            asks = [(each, each.ask()) for each in channel.hungry()]
            if asks:
                channel.next_due = math.inf
                made.asks.append((channel, asks))
            channel.is_drained = False  # who has no room now looks when he has

    def _done(self, made: Round) -> None:
        for taking, settlement in made.settlements:
            taking.is_lost |= settlement.is_lost
        made.confirm()
        for channel, look, asks in made.looks:
            channel.next_due = min(channel.next_due, look.next_due)  # what was put back meanwhile may be due before
            channel.is_drained = not look.has_more
            if look.is_gone and channel.subscriptions:  # as one that is ephemeral, whose subscribers gave no sign of life
                log.warning("%s: channel %s/%s was removed; it is made anew", self.backend.name, channel.topic, channel.name)
                self.requests.tell(partial(administration.make_anew, channel=channel))
            for subscription, ask in asks:
                subscription.receive(ask, made.now)
            if look.has_more and any(each.room() > 0 for each in channel.subscriptions):
                self.channels.looks[channel] = True

    def _undone(self, made: Round, error: Exception, *, is_waiting: bool = False) -> None:
        for channel in made.undo():
            self.channels.looks.setdefault(channel, False)
        if is_waiting:
            self.requests.take_back(made)  # it waits on, as long as its callers do
            return
        if not made.is_begun:
            self.requests.give_all_to(made)
        made.fail(error)

    def _failed(self, error: Trouble) -> None:
        is_fault = error.kind not in ("busy", "conflict")
        if is_fault:
            self._again_at = time.monotonic() + _AGAIN
        text = str(error)
        if text != self.requests.trouble and is_fault:
            log.error("%s", text)
        self.requests.trouble = text

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self, timeout: float = 5.0) -> None:
        """Commit what waits and write down what was answered, then end; who waits still is told."""
        if self.is_closed:
            return
        self.is_closing = True
        deadline = time.monotonic() + timeout
        while self._keeper is not None and (self._changed or self.requests or self.is_under_way):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.requests.settled(left)
        self.is_closed = True
        self._wake.set()
        if self._keeper is not None:
            self._keeper.join(max(deadline - time.monotonic(), 0.5))
            self._keeper.kill(block=False)
        self.requests.fail(f"{self.backend.name}: the engine was closed meanwhile")
        self.backend.close()

    def quiesce(self) -> None:  # before a fork, called by it
        self.backend.quiesce()

    def abandon(self) -> None:
        """In a forked child, called by the fork: leave everything to the parent."""
        self.is_closed = self.is_closing = True
        self.backend.abandon()
        if self._keeper is not None:
            self._keeper.kill(block=False)
