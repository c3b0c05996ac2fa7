"""A proxy before a broker's port, which treats bytes as bad networks do."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

import gevent
import gevent.socket
from gevent.server import StreamServer

from tests.ports import HOST, free_port

Mood = Literal["well", "stalled", "deaf", "slow", "pieces", "lost_answers", "torn", "garbage", "closed"]


class Proxy:
    """Forwards connections to `HOST:target`, in the mood that it is in at the moment.

    Moods: `stalled` forwards nothing either way, `deaf` nothing from the broker, `slow` after 200 ms, `pieces` 3 bytes at a
    time, `lost_answers` swallows what the broker says and cuts, `torn` cuts in the middle, `garbage` answers nonsense,
    `closed` takes nobody.
    """

    def __init__(self, target: int, random: Random) -> None:
        self.target = target
        self.mood: Mood = "well"
        self.hits = 0
        """How often a mood other than `well` met bytes or a connection."""
        self._random = random
        self._pairs: set[tuple[Any, Any]] = set()
        self.port = free_port()
        self._server = StreamServer((HOST, self.port), self._serve)
        self._server.start()

    def cut(self) -> None:
        """Close every connection."""
        self.hits += len(self._pairs)
        for pair in list(self._pairs):
            for each in pair:
                each.close()

    def end(self) -> None:
        self._server.stop(timeout=0)
        self.cut()

    def _serve(self, client: Any, _address: Any) -> None:
        if self.mood == "closed":
            self.hits += 1
            client.close()
            return
        if self.mood == "garbage":
            self.hits += 1
            client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"producers"' + bytes(range(200, 250)))
            client.close()
            return
        try:
            broker = gevent.socket.create_connection((HOST, self.target))
        except OSError:
            client.close()
            return
        pair = (client, broker)
        self._pairs.add(pair)
        jobs = [gevent.spawn(self._carry, client, broker, False), gevent.spawn(self._carry, broker, client, True)]
        gevent.joinall(jobs, count=1)
        gevent.killall(jobs)
        self._pairs.discard(pair)
        for each in pair:
            each.close()

    def _carry(self, source: Any, sink: Any, is_answer: bool) -> None:
        try:
            while data := source.recv(65536):
                if self.mood != "well":
                    self.hits += 1
                while self.mood == "stalled" or (self.mood == "deaf" and is_answer):
                    gevent.sleep(0.05)
                if self.mood == "lost_answers" and is_answer:
                    gevent.sleep(0.05)
                    return
                if self.mood == "torn" and self._random.random() < 0.05:
                    sink.sendall(data[: len(data) // 2])
                    return
                if self.mood == "slow":
                    gevent.sleep(self._random.uniform(0.15, 0.25))
                if self.mood == "pieces" and len(data) < 3000:
                    for at in range(0, len(data), 3):
                        sink.sendall(data[at : at + 3])
                        gevent.sleep(0)
                else:
                    sink.sendall(data)
        except OSError:
            return
