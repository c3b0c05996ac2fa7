"""What `dead` and `tail` show of personal fields: nothing, unless it is asked for; and no data at all with --no-data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus import Bus, Event, Personal, Reject, Retry, Service
from tests.cli.kit import Shop
from tests.nsqd import Nsqd
from tests.waiting import eventually

MakeBus = Callable[..., Bus]
SECRET = "ada@example.org"


class Registered(Event, topic="registered", version=1):
    email: Personal[str]
    country: str = "Malta"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def refusing(error: type[Exception]) -> Service:
    service = Service("mail")

    @service.on(Registered, retry=Retry(attempts=1))
    def refuse(event: Registered) -> None:
        raise error(f"cannot write to {event.email.upper()}")

    return service


@pytest.mark.parametrize("error", [Reject, ValueError])
def test_dead_letters_show_no_personal_data_in_fields_reasons_and_errors(
    shop: Shop, nsqd: Nsqd, make_bus: MakeBus, error: type[Exception]
) -> None:
    bus = make_bus(nsqd.url)
    bus.start(refusing(error))
    bus.publish(Registered(email=SECRET))
    eventually(lambda: bus.dead_letters("registered", "mail").count() == 1)
    (letter,) = bus.dead_letters("registered", "mail").list()
    bus.stop()

    def shown(*arguments: str) -> str:
        done = shop.run("dead", *arguments[:1], "registered", "mail", *arguments[1:], EVENTBUS_URL=nsqd.url)
        assert done.code == 0, done.err
        return str(done.out).casefold()

    one = ("--id", letter.id)
    for arguments in (("list",), ("list", "--json"), ("show", *one), ("show", *one, "--json")):
        assert SECRET not in shown(*arguments)
        assert SECRET in shown(*arguments, "--personal") or error is ValueError or arguments == ("list",)
        assert SECRET not in shown(*arguments, "--no-data", "--personal")
    assert "malta" in shown("show", *one)
    assert "malta" not in shown("show", *one, "--no-data")
    kind = "rejected" if error is Reject else "valueerror"
    assert kind in shown("list")
    assert error is Reject or "test_sight.py" in shown("show", *one)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_tail_shows_no_personal_data(
    shop: Shop, nsqd: Nsqd, make_bus: MakeBus, ends: Callable[[Any], Any], options: tuple[str, ...]
) -> None:
    bus = make_bus(nsqd.url)
    bus.engine.declare("registered", ["mail"])
    said: list[Any] = [(), ("--personal",), ("--no-data",)]
    tails = [ends(shop.start("tail", "registered", "-n", "1", *options, *more, EVENTBUS_URL=nsqd.url)) for more in said]
    eventually(lambda: len(nsqd.get("/stats", format="json")["topics"][0]["channels"]) == 4)
    bus.publish(Registered(email=SECRET))
    assert [each.wait() for each in tails] == [0, 0, 0]
    hidden, personal, none = (each.output() for each in tails)
    assert (SECRET in hidden, "Malta" in hidden) == (False, True)
    assert (SECRET in personal, "Malta" in personal) == (True, True)
    assert (SECRET in none, "Malta" in none, "Registered" in none) == (False, False, True)
