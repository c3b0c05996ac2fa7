"""The scenario in one process: the three services as they are, each on its own database file, and a mail sink."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import gevent
import urllib3
from pydantic import SecretStr

from demo.flow import Flow
from demo.ledger import Accounts, Ledger
from demo.mail_sink import HOST, MailSink
from demo.orders_file import Request
from demo.rest import Rest
from eventbus import Backoff, Bus, EventBusError, Outcome, Retry
from eventbus.outcomes import Telling
from eventbus.rehearsal.worker import Rehearsals
from services.email_confirmation import app as email_confirmation
from services.email_confirmation.settings import EmailSettings
from services.fulfillment import app as fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.orders import app as orders
from services.orders.settings import OrdersSettings

_AWAY = 300.0
"""Seconds without any progress after which a broker that does not answer is given up; the ledger tells what is missing."""
_REPLAYS = 10
"""Most replays of what was parked: what fails again without a made-up failure fails for ever."""
_LOOK = 0.5
"""Longest pause in seconds between two looks at the books."""


class RefusedError(Exception):
    """Raised when the orders API refuses an order; its text says which field and why."""


class Scenario:
    """Services, databases and mail sink, and the flow between them."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        stock: dict[str, int],
        fail_rate: float,
        seed: int,
        sink: MailSink | None = None,
    ) -> None:
        self.flow = Flow(fail_rate, seed)
        # short delays: a demo that waits is no demo. No channel pause: failures here are random, no broken dependency
        retry = Retry(attempts=3 if fail_rate else 8, first=0.05, ceiling=1.0)
        backoff = Backoff(after=0)
        self._telling = Telling()
        self.bus = Bus(url, source=orders.NAME, middleware=[self.flow, self._telling])
        self.sink = sink or MailSink()

        def database(name: str) -> SecretStr:
            return SecretStr(f"sqlite:///{folder / name}.db")

        # NORMAL: the demo keeps nothing beyond its end, so it need not wait for the disk at each commit
        synchronous = "NORMAL"
        self._orders = orders.build(
            OrdersSettings(database_url=database(orders.NAME), port=0, sqlite_synchronous=synchronous),
            retry=retry,
            backoff=backoff,
        )
        first = fulfillment.build(
            FulfillmentSettings(database_url=database(fulfillment.NAME), stock=stock, sqlite_synchronous=synchronous),
            retry=retry,
            backoff=backoff,
            instance="fulfillment-1",
        )
        self.bus.attach(*self._orders.service.attachments)  # the API first: its port is part of the mails
        self.api = self._orders.server.url
        mail = email_confirmation.build(
            EmailSettings(
                database_url=database(email_confirmation.NAME),
                smtp_host=HOST,
                smtp_port=self.sink.port,
                orders_url=self.api,
                sqlite_synchronous=synchronous,
            ),
            retry=retry,
            backoff=backoff,
            instance="email_confirmation-1",
        )
        self._subscribers = [first.service, *mail.services]
        self._second_workers = [
            first.service.replica("fulfillment-2"),
            *(service.replica("email_confirmation-2") for service in mail.services),
        ]
        self._accounts = Accounts(self._orders.store.database, first.warehouse.database, self.sink)
        services = [self._orders.service, *self._subscribers]
        self.services = services
        self.outboxes = (self._orders.outbox,)
        self._rest = Rest(self.bus, {topic for service in services for topic in service.topics})
        self._http = urllib3.PoolManager(maxsize=16, retries=False, timeout=30.0)
        self.began = 0.0
        self.ended = 0.0

    def start(self) -> None:
        self.sink.start()
        self.bus.attach(self._telling, Rehearsals())
        self.bus.start(self._orders.service, *self._subscribers, *self._second_workers)
        self.began = self.ended = time.perf_counter()

    def place(self, order: Request) -> None:
        """Place an order through the API.

        Raises:
            RefusedError: the API does not accept it.
        """
        answer = self._http.request(
            "POST",
            f"{self.api}/orders",
            body=json.dumps(order.body).encode(),
            headers={"Content-Type": "application/json", "Idempotency-Key": str(uuid4())},
        )
        if answer.status != 201:
            problem = json.loads(answer.data)
            raise RefusedError(f"{problem.get('field', 'order')}: {problem['detail']}")

    def done(self) -> int:
        """Number of orders that are through."""
        return self._accounts.done()

    def finish(self, placed: int, on_progress: Callable[[int], None]) -> Ledger:
        """Wait until every order has its end, replaying what was parked; return the ledger."""
        done, last, since, asked = -1, -1, time.perf_counter(), 0.0
        rested = replays = 0
        while True:
            # nothing changes in the books without an outcome: to ask them all the time takes from what is waited for
            if (outcomes := self.flow.outcomes.total()) != last or time.perf_counter() - asked > _LOOK:
                before, done, asked = done, self.done(), time.perf_counter()
                if (done, outcomes) != (before, last):
                    last, since, rested = outcomes, time.perf_counter(), 0
                elif self._rest.is_reached():
                    rested += 1
                on_progress(done)
            if done >= placed or time.perf_counter() - since > _AWAY:
                break
            if rested > 1:  # twice with nothing between: what moved from one table to the next is seen by the second look
                self.flow.fail_rate = 0.0  # somebody mended the fault; now what is parked may go on
                if replays == _REPLAYS or not self._replay():
                    break
                replays, rested = replays + 1, 0
            gevent.sleep(0.05)
        self.ended = time.perf_counter()
        on_progress(self.done())
        return self._accounts.close(
            dead_letters=self.flow.outcomes[Outcome.PARKED],
            retries=self.flow.outcomes[Outcome.RETRIED] + self.flow.outcomes[Outcome.POSTPONED],
            seconds=self.ended - self.began,
        )

    def _replay(self) -> int:
        """Replay all dead letters; return how many there were."""
        return sum(
            self.bus.dead_letters(topic, service).replay()
            for service in [self._orders.service, *self._subscribers]
            for topic in service.topics
        )

    def stop(self) -> None:
        """Stop everything, whatever was started."""
        try:
            self.bus.stop(grace=5.0)
        except EventBusError:
            pass
        finally:
            self.sink.stop()
