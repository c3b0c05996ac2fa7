"""Order 5f51 got no second mail. Why? A stranger finds it out with the page alone, and mends it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.cli.running import Forked
from tests.contracts.test_documents import browser
from tests.nsqd import Nsqd
from tests.page.test_browser import ROOT, _address, shows
from tests.waiting import eventually

TOKEN = "a-token-that-nobody-guesses"
PICTURES = os.environ.get("EVENTBUS_PICTURES")


@pytest.fixture
def url() -> Iterator[str]:
    nsqd = Nsqd()
    yield f"nsq+direct://{nsqd.tcp}?http={nsqd.http}"
    nsqd.end()


def click(chromium: Browser, text: str) -> None:
    found = f"[...document.querySelectorAll('#dead button')].find((each) => each.innerText.includes({json.dumps(text)}))"
    chromium.wait_for(f"{found} && !{found}.disabled")
    chromium.value(f"{found}.click()")


@pytest.mark.nsqd
def test_a_stranger_finds_why_and_mends_it(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    page = Forked(
        "eventbus.cli", "page", "--bus", url, "--port", "0", "--allow", "replay", cwd=ROOT,
        environment={"EVENTBUS_PAGE_TOKEN": TOKEN},
    )  # fmt: skip
    request.addfinalizer(page.end)
    eventually(lambda: "the page: http" in page.output(), "the page")
    shop = Forked("tests.page.shop", url, "500", cwd=ROOT)
    request.addfinalizer(shop.end)
    eventually(lambda: '{"order":' in shop.output(), "the last order")
    order = json.loads(shop.output().splitlines()[0])["order"]
    with Browser(browser(), tmp_path / "profile") as chromium:
        began = time.monotonic()
        chromium.look(width=1280)
        chromium.open(_address(page.output()))
        chromium.wait_for("location.pathname === '/enter' && document.activeElement.id === 'token'")
        chromium.type(TOKEN)
        chromium.value("document.querySelector('form').requestSubmit()")
        chromium.wait_for("location.pathname === '/' && document.querySelector('#live').innerText.includes('live')")
        chromium.value("document.querySelector('#find').focus()")
        chromium.type(order[:8])
        chromium.value("document.querySelector('#search').requestSubmit()")
        chromium.wait_for("document.querySelectorAll('#journey-body tbody tr').length === 1")
        chromium.value("document.querySelector('#journey-body a').click()")
        shows(
            chromium,
            "#sentence",
            "MailPrepared is a dead letter of email/default after 8 runs: TemporaryMailError at mailer.py:",
        )
        assert time.monotonic() - began < 60, "a minute is enough"
        shows(chromium, "#dead-about", "1 in 1 causes")
        click(chromium, "dry run")
        shows(chromium, "#dead-body", "1 ✗ would fail: TemporaryMailError at mailer.py:")
        if PICTURES:
            (ROOT / PICTURES).mkdir(exist_ok=True)
            (ROOT / PICTURES / "page-why.png").write_bytes(chromium.whole_picture(most=1350))
        shop.signal(signal.SIGUSR1)
        click(chromium, "dry run")
        shows(chromium, "#dead-body", "1 ✓ would pass")
        click(chromium, "replay 1")
        shows(chromium, "#dead-body", "1 of 1 handled; done")
        shows(chromium, "#dead-about", "none")
        shows(chromium, "#sentence", "All is handled; nothing waits.")
        if PICTURES:
            (ROOT / PICTURES / "page-mended.png").write_bytes(chromium.whole_picture(most=1350))
        assert chromium.faults == []
    shop.signal(signal.SIGTERM)
    assert shop.wait() == 0
    ledger = json.loads(shop.output().splitlines()[-1])
    assert ledger["balanced"]
    assert [ledger[each] for each in ("orders", "mails", "lost", "doubled")] == [500, 1000, 0, 0]
