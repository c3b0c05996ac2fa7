"""Other people's programs, all built on go-nsq, and nsqadmin: they read what we write and write what we read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus import Bus, Reject
from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.http import HttpError, request
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from eventbus.wire.codec import decode
from tests.nsqd import Nsqd, Nsqlookupd, Process, program
from tests.ports import HOST, free_port
from tests.unit.test_examples import EXPECTED, FOLDER
from tests.waiting import PATIENCE, eventually

Ends = Callable[[Any], Any]
MakeBus = Callable[..., Bus]


def test_nsq_tail_and_nsq_to_file_read_what_the_bus_publishes(
    nsqd: Nsqd, make_bus: MakeBus, ends: Ends, tmp_path: Path
) -> None:
    kind = numbered()
    topic = kind.__event_info__.topic
    bus = make_bus(nsqd.url, codec="json")
    nsqd.post("/topic/create", topic=topic)
    tail = ends(Process(program("nsq_tail"), f"-nsqd-tcp-address={nsqd.tcp}", f"-topic={topic}", "-n=20"))
    to_file = ends(
        Process(
            program("nsq_to_file"),
            f"-nsqd-tcp-address={nsqd.tcp}",
            f"-topic={topic}",
            f"-output-dir={tmp_path}",
            "-sync-interval=100ms",
        )
    )
    eventually(lambda: len(nsqd.get("/stats", format="json")["topics"][0]["channels"]) == 2)
    eventually(lambda: all(each["client_count"] for each in nsqd.get("/stats", format="json")["topics"][0]["channels"]))
    publish_numbers(bus, kind, range(20))
    eventually(lambda: len([line for line in tail.output().splitlines() if line.startswith("{")]) == 20)
    lines = [line for line in tail.output().splitlines() if line.startswith("{")]
    assert sorted(decode(line.encode()).data["number"] for line in lines) == list(range(20))

    def filed() -> list[str]:
        return [line for path in tmp_path.glob("*") for line in path.read_text().splitlines()]

    eventually(lambda: len(filed()) == 20)
    assert sorted(json.loads(line)["data"]["number"] for line in filed()) == list(range(20))
    to_file.signal(15)
    to_file.wait()


def test_to_nsq_publishes_cloudevents_that_are_handled_and_text_that_is_parked(nsqd: Nsqd, make_bus: MakeBus) -> None:
    kind, seen = numbered(), Seen()
    topic = kind.__event_info__.topic
    service = listener(kind, seen)
    bus = make_bus(nsqd.url)
    bus.start(service)
    event = {"specversion": "1.0", "id": "1", "source": "shell", "type": "Numbered", "data": {"number": 7}}
    subprocess.run(
        [program("to_nsq"), f"-nsqd-tcp-address={nsqd.tcp}", f"-topic={topic}"],
        input=f"{json.dumps(event)}\nplain text\n".encode(),
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    eventually(lambda: seen.numbers == [7])
    assert seen.contexts[0].source == "shell"
    letters = bus.dead_letters(kind, service)
    eventually(lambda: letters.list())
    (letter,) = letters.list()
    assert letter.body == b"plain text"
    assert letter.reason.startswith("not decodable: the first byte is 0x70")


def test_nsqadmin_shows_channels_and_parked_letters(lookupd: Nsqlookupd, make_bus: MakeBus, ends: Ends) -> None:
    nsqd = ends(Nsqd(lookupds=(lookupd,)))
    admin = Address(HOST, free_port())
    ends(Process(program("nsqadmin"), f"-http-address={admin}", f"-lookupd-http-address={lookupd.http}"))
    kind, seen = numbered(), Seen()
    topic = kind.__event_info__.topic

    def act(event: Any, context: Any) -> None:
        raise Reject("never")

    service = listener(kind, seen, act=act)
    bus = make_bus(nsqd.url)
    bus.start(service, listener(kind, Seen()))
    publish_numbers(bus, kind, range(3))
    eventually(lambda: len(bus.dead_letters(kind, service).list()) == 3)

    def ask(path: str) -> Any:
        try:
            return request(admin, "GET", path, timeout=PATIENCE)
        except HttpError:
            return {}

    dead = f"{topic}.{service.name}.dead"
    eventually(lambda: {topic, dead} <= set(ask("/api/topics").get("topics") or ()))
    eventually(lambda: len(ask(f"/api/topics/{topic}").get("channels") or ()) == 2)
    eventually(lambda: ask(f"/api/topics/{dead}").get("channels"))
    (parked,) = ask(f"/api/topics/{dead}")["channels"]
    assert (parked["channel_name"], parked["depth"]) == ("parked", 3)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_examples_run_on_a_real_nsqd_unchanged(nsqd: Nsqd, name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / name)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "EVENTBUS_URL": nsqd.url},
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(EXPECTED[name], done.stdout), done.stdout
