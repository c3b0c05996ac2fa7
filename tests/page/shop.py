"""The scenario with a mail server that stops before the second mail of the last order; it is back at SIGUSR1.

`python -m tests.page.shop BUS_URL ORDERS` writes a line of JSON with that order's id, and the ledger at SIGTERM.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - nothing may be imported before the patching
import logging  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from tempfile import TemporaryDirectory  # noqa: E402
from typing import Any  # noqa: E402

import gevent.event  # noqa: E402
from gevent.pool import Pool  # noqa: E402

from demo.mail_sink import MailSink  # noqa: E402
from demo.orders_file import CATALOGUE, make_orders  # noqa: E402
from demo.scenario import Scenario  # noqa: E402
from tests.waiting import eventually  # noqa: E402


class FrailSink(MailSink):
    """Takes so many mails, and no more until it is mended."""

    most = sys.maxsize

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.subjects.total() >= self.most:
            return "451 stopped for a while"
        envelope.rcpt_tos.append(address)
        return "250 fine"


def say(tree: Any) -> None:
    print(json.dumps(tree), flush=True)  # noqa: T201


def main(url: str, count: int) -> None:
    logging.disable(logging.CRITICAL)
    with TemporaryDirectory() as folder:
        sink = FrailSink()
        stock = dict.fromkeys(CATALOGUE, 10**9)
        scenario = Scenario(url, Path(folder), stock=stock, fail_rate=0.0, seed=7, sink=sink)
        scenario.start()
        mended, ended = gevent.event.Event(), gevent.event.Event()
        watchers = [gevent.signal_handler(signal.SIGUSR1, mended.set), gevent.signal_handler(signal.SIGTERM, ended.set)]
        *others, last = make_orders(count, 7)
        list(Pool(8).imap_unordered(scenario.place, others))
        scenario.finish(count - 1, lambda done: None)  # what was parked on a busy machine is replayed
        before = set(sink.subjects)
        sink.most = sink.subjects.total() + 1
        scenario.place(last)
        eventually(lambda: set(sink.subjects) - before, "the first mail of the last order")
        (subject,) = set(sink.subjects) - before
        say({"order": subject.split()[2]})
        mended.wait()
        sink.most = sys.maxsize
        ended.wait()
        say(scenario.finish(count, lambda done: None).as_json())
        scenario.stop()
        for each in watchers:
            each.cancel()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
