"""Publisher: threads, asyncio and forked children publish over a real nsqd, without a gevent hub of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eventbus import Bus, BusStateError, ConfigurationError, Event, NotSent, Publisher, Service
from tests.nsqd import Nsqd
from tests.waiting import PATIENCE, eventually

ROOT = Path(__file__).parent.parent.parent
MakeBus = Callable[..., Bus]


class Issued(Event, topic="issued"):
    number: int


HEAD = """
import asyncio, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from eventbus import Event, Publisher

class Issued(Event, topic="issued"):
    number: int

url = sys.argv[1]
"""

THREADS = """
with Publisher(url, source="billing") as publisher, ThreadPoolExecutor(8) as threads:
    ids = list(threads.map(lambda number: publisher.publish(Issued(number=number)), range(200)))
assert len(set(ids)) == 200
"""

ASYNCIO = """
async def main():
    async with Publisher(url, source="billing", max_pending=16) as publisher:
        ids = await asyncio.gather(*(publisher.apublish(Issued(number=number)) for number in range(200)))
    assert len(set(ids)) == 200
    assert threading.active_count() < 4

asyncio.run(main())
"""

FORKS = """
publisher = Publisher(url, source="billing")
publisher.publish(Issued(number=0))
children = []
for child in range(4):
    pid = os.fork()
    if not pid:
        with publisher:
            for number in range(1 + child * 40, 1 + child * 40 + 40):
                publisher.publish(Issued(number=number))
        os._exit(0)
    children.append(pid)
for number in range(161, 200):
    publisher.publish(Issued(number=number))
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
publisher.close()
"""


@pytest.mark.nsqd
@pytest.mark.parametrize("program", [THREADS, ASYNCIO, FORKS], ids=["threads", "asyncio", "forks"])
def test_all_of_it_arrives_once(nsqd: Nsqd, make_bus: MakeBus, program: str) -> None:
    seen: list[int] = []
    service = Service("listener")
    service.on(Issued)(lambda event: seen.append(event.number))
    make_bus(nsqd.url).start(service)
    words = [sys.executable, "-c", HEAD + program, nsqd.url]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(seen) >= 200, "all 200 events")
    assert sorted(seen) == list(range(200))


def test_an_error_reaches_who_published() -> None:
    with Publisher("nsq+direct://127.0.0.1:9", source="billing") as publisher:
        with pytest.raises(NotSent):
            publisher.publish(Issued(number=1), timeout=0.2)
        with pytest.raises(TypeError, match="colour"):
            publisher.publish(Issued(number=1), colour="red")
    with pytest.raises(BusStateError, match="closed"):
        publisher.publish(Issued(number=1))
    publisher.close()
    with pytest.raises(ConfigurationError, match="kafka"):
        Publisher("kafka://127.0.0.1")
    with pytest.raises(ConfigurationError, match="max_pending"):
        Publisher("memory://", max_pending=0)


def test_no_more_waits_than_was_allowed() -> None:
    with Publisher("nsq+direct://127.0.0.1:9", source="billing", max_pending=1) as publisher:
        publisher._hub.room.acquire()
        with pytest.raises(NotSent, match="max_pending"):
            publisher.publish(Issued(number=1), timeout=0.05)
        publisher._hub.room.release()


def test_a_patched_process_is_told_to_use_a_bus() -> None:
    program = "from gevent import monkey; monkey.patch_all()\nfrom eventbus import Publisher\nPublisher('memory://')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "ConfigurationError: Publisher in a process that gevent has patched" in done.stderr


def test_a_thread_that_is_not_the_buss_is_told_of_it() -> None:
    from gevent.threadpool import ThreadPool

    with Bus("memory://") as bus:
        answer = ThreadPool(1).spawn(bus.publish, Issued(number=1))
        with pytest.raises(BusStateError, match=r"eventbus\.Publisher"):
            answer.get()
