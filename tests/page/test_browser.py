"""The page in a real browser: on the demo in one process, on a file, and on a real nsqd that goes away."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus import Bus, Event, Reject, Service
from eventbus.outcomes import TOPIC, Batch, write_batch
from tests.browser import Browser
from tests.cli.running import Forked
from tests.contracts.test_documents import browser
from tests.nsqd import Nsqd, free_port
from tests.outcomes.records import record
from tests.page.hostile import HOSTILE
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "tools" / "asyncapi" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = os.environ.get("EVENTBUS_PICTURES")
"""A folder for pictures of the page, where somebody wants them: docs/pictures."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(browser(), tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """The address of the page of a demo that is over and stays."""
    words = ("--orders", "40", "--fail-rate", "0.1", "--stay", "--port", "0")
    process = Forked("demo", *words, cwd=ROOT, environment={"EVENTBUS_URL": "memory://"})
    eventually(lambda: "the page stays at" in process.output(), "the ledger")
    yield _address(process.output())
    process.end()


def _address(output: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/", output)
    assert found is not None, output
    return found[0]


def page_of(bus: str, port: int = 0) -> tuple[Forked, str]:
    process = Forked("eventbus.cli", "page", "--bus", bus, "--port", str(port), cwd=ROOT)
    eventually(lambda: "the page: http" in process.output(), "the page")
    return process, _address(process.output())


def text(chromium: Browser, where: str) -> str:
    return str(chromium.value(f"document.querySelector({json.dumps(where)}).innerText"))


def shows(chromium: Browser, where: str, what: str) -> None:
    chromium.wait_for(f"document.querySelector({json.dumps(where)})?.innerText.includes({json.dumps(what)})")


@pytest.mark.parametrize(
    ("width", "is_dark"),
    [(1280, False), (1280, True), (640, False), (390, False), (390, True)],
    ids=["1280-light", "1280-dark", "640-light", "390-light", "390-dark"],
)
def test_all_panels_can_be_read_by_everybody(chromium: Browser, demo: str, width: int, is_dark: bool) -> None:
    chromium.faults.clear()
    chromium.look(width=width, is_dark=is_dark)
    chromium.open(demo)
    shows(chromium, "#live", "live")
    shows(chromium, "#picture", "orders_placed")
    shows(chromium, "#journey-body", "OrderPlaced")
    shows(chromium, "#contracts-body", "orders_placed OrderPlaced v1")
    shows(chromium, "#health-body", "checks are well")
    chromium.value("[...document.querySelectorAll('#journey-body a')][0].click()")
    shows(chromium, "#sentence", "nothing waits")
    chromium.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    shows(chromium, "#flow-table", "orders_placed / fulfillment")
    assert chromium.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    chromium.value(AXE.read_text())
    found = chromium.value(
        "axe.run().then((found) => JSON.stringify(found.violations.map((each) => [each.id, each.nodes[0].html])))"
    )
    assert json.loads(found) == []
    assert chromium.faults == []
    if PICTURES and width != 640:
        chromium.value("document.querySelectorAll('details').forEach((each) => { each.open = false; })")
        path = ROOT / PICTURES / f"page-{width}-{'dark' if is_dark else 'light'}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chromium.whole_picture())


def test_it_is_used_by_keys_alone_and_its_address_says_all(chromium: Browser, demo: str) -> None:
    chromium.look(width=1280)
    chromium.open(demo)
    shows(chromium, "#picture", "orders_placed")
    shows(chromium, "#journey-body", "OrderPlaced")
    chromium.value("document.querySelector('[data-focus=\"orders_placed/fulfillment\"]').focus()")
    chromium.press("Enter", 13)
    chromium.wait_for("new URLSearchParams(location.search).get('at') === 'orders_placed/fulfillment'")
    shows(chromium, "#chosen", "orders_placed/fulfillment: the last 60 s")
    assert chromium.value("document.activeElement.dataset.focus") == "orders_placed/fulfillment", "the focus stays"
    subject = text(chromium, "#journey-body tbody th")
    chromium.value("document.body.focus(); document.activeElement.blur()")
    chromium.press("/", 191)
    chromium.wait_for("document.activeElement.id === 'find'")
    chromium.type(subject)
    chromium.value("document.querySelector('#search').requestSubmit()")
    chromium.wait_for("document.querySelectorAll('#journey-body tbody tr').length === 1")
    chromium.value("document.querySelector('#journey-body a').click()")
    shows(chromium, "#journey-about", subject)
    address = chromium.value("location.href")
    chromium.open(address)
    shows(chromium, "#journey-about", subject)
    shows(chromium, "#chosen", "orders_placed/fulfillment")
    chromium.value("history.back()")
    chromium.wait_for("document.readyState === 'complete' && !location.search.includes('key=')")
    chromium.value("document.querySelector('#pause').click()")
    chromium.wait_for("location.search.includes('paused=1') && document.querySelector('#live').innerText.includes('paused')")


class Said(Event, topic="said", version=1):
    text: str


def test_whatever_anybody_publishes_is_shown_as_text(chromium: Browser, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bus.db"
    speaker = Service("listener")

    @speaker.on(Said)
    def refuse(event: Said) -> None:
        raise Reject(event.text)

    assert len(HOSTILE) >= 50
    with Bus(url, source="speaker") as bus:
        bus.start(speaker)
        process, address = page_of(url)
        chromium.faults.clear()
        chromium.look(width=1280)
        for each in HOSTILE:
            bus.publish(Said(text=each), subject=each)
        names = ("topic", "channel", "service", "instance", "source", "type", "error", "place", "subject")
        told = [
            record(id=f"id-{number}", correlation=f"chain-{number}", **dict.fromkeys(names, each[:64]))
            for number, each in enumerate(HOSTILE)
        ]
        eventually(lambda: TOPIC in bus.engine.stats(), "the topic of outcomes")
        bus.engine.publish(TOPIC, write_batch(Batch("speaker", 1.0, told)), delay=0.0, timeout=5.0)
        letters = bus.dead_letters(Said, speaker)
        eventually(
            lambda: letters.count() == len(HOSTILE), "the dead letters"
        )  # this hub stands still while Chromium is asked
        chromium.open(address)
        shows(chromium, "#dead-about", f"{len(HOSTILE)} in")
        shows(chromium, "#journey-body", HOSTILE[-2])
        for number in range(0, len(HOSTILE), 7):
            chromium.open(f"{address}?key=chain-{number}&at=%3Cscript%3E&find=%22%3E%3Cimg")
            shows(chromium, "#journey-body", HOSTILE[number][:20].strip())
        assert chromium.value("window.hacked") is None and chromium.value("window.name") == ""
        assert (
            chromium.value(
                "document.querySelectorAll('img, iframe, base, style, form:not(#search), script:not([src])').length"
            )
            == 0
        )
        assert chromium.value(
            "[...document.querySelectorAll('a')].every((each) => each.getAttribute('href').startsWith('?'))"
        )
        assert chromium.faults == [], "nothing that the policy had to stop"
        process.end()


@pytest.mark.nsqd
def test_a_broker_that_goes_away_is_said_and_comes_back(chromium: Browser) -> None:
    nsqd = Nsqd()
    with Bus(f"nsq+direct://{nsqd.tcp}", source="speaker") as bus:
        bus.publish(Said(text="x"))
    process, address = page_of(f"nsq+direct://{nsqd.tcp}?http={nsqd.http}")
    chromium.look(width=1280)
    chromium.open(address)
    shows(chromium, "#picture", "said")
    nsqd.kill()
    shows(chromium, "#problem", "The bus cannot be seen")
    shows(chromium, "#picture", "said")
    nsqd.start()
    chromium.wait_for(
        "document.querySelector('#problem').hidden && document.querySelector('#live').innerText.includes('live')"
    )
    process.end()
    nsqd.end()


def test_a_page_that_is_killed_is_said_and_one_in_its_place_is_found(chromium: Browser, tmp_path: Path) -> None:
    url, port = f"sqlite:///{tmp_path}/bus.db", free_port()
    with Bus(url, source="speaker") as bus:
        bus.publish(Said(text="x"))
        process, address = page_of(url, port)
        chromium.look(width=1280)
        chromium.open(address)
        shows(chromium, "#live", "live")
        process.signal(signal.SIGKILL)
        process.wait()
        process.end()
        shows(chromium, "#problem", "does not answer")
        bus.publish(Said(text="y"))
        again, _ = page_of(url, port)
        chromium.wait_for(
            "document.querySelector('#problem').hidden && document.querySelector('#live').innerText.includes('live')"
        )
        again.end()


def test_the_page_is_small() -> None:
    folder = ROOT / "eventbus" / "page"
    assert sum(path.stat().st_size for path in (folder / "static").rglob("*")) <= 150_000
