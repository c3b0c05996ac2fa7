"""The catalogue as people see it: 60 events in a real browser, on a desk and on a phone, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import pytest
from pydantic import Field, create_model

from eventbus import Event, Service, Value
from eventbus.contracts import contract_of, views_of
from eventbus.contracts.catalogue import write_catalogue
from eventbus.contracts.picture import draw
from tests.browser import Browser
from tests.contracts.test_documents import browser


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Card(Value):
    kind: Literal["card"]
    number: str = Field(max_length=19)


class Cash(Value):
    kind: Literal["cash"]


class Paid(Event, topic="payments", version=1):
    """Somebody paid."""

    order_id: int = Field(ge=1)
    note: str = "none"


class PaidNow(Event, topic="payments", version=2, name="Paid"):
    """Somebody paid."""

    order_id: int = Field(ge=1, le=99)
    colour: Colour = Colour.RED
    payment: Annotated[Card | Cash, Field(discriminator="kind")]
    tags: list[str] = Field(default_factory=list, max_length=5)
    total: float = Field(gt=0, description="With taxes.", deprecated=True)


class PaidView(Event, topic="payments", name="Paid"):
    order_id: int


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of 60 events of 9 owners and 12 subscribers, some with the longest names there are."""
    folder = tmp_path_factory.mktemp("catalogue")
    contracts = [contract_of(Paid, "billing"), contract_of(PaidNow, "billing")]
    services = [Service(f"reader_{number}_{'x' * number * 2}") for number in range(12)]

    def read(event: Any) -> None: ...

    services[0].on(PaidView)(read)
    for number in range(59):
        topic = f"topic_{number}_{'y' * (number % 18)}"
        keywords: dict[str, Any] = {"topic": topic, "version": 1}
        made: Any = create_model(f"Event{number}Happened", __base__=Event, __cls_kwargs__=keywords, text=(str, ...))
        contracts.append(contract_of(made, f"owner_{number % 9}"))
        for other in {number % 12, (number * 5 + 1) % 12}:
            services[other].on(made)(read)
    written = write_catalogue(folder, contracts, views_of(services), title="The shop")
    assert len(written) == 61
    return folder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(browser(), tmp_path_factory.mktemp("profile")) as started:
        yield started


CONTRAST = r"""
(() => {
  const linear = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const page = light(getComputedStyle(document.body).backgroundColor);
  const texts = [...document.querySelectorAll("p, td, th, h1, h2, a, .mark, .quiet, .minus, .plus")];
  return Math.min(...texts.map((each) => {
    const one = light(getComputedStyle(each).color);
    return (Math.max(one, page) + 0.05) / (Math.min(one, page) + 0.05);
  }));
})()
"""


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_fit_and_can_be_read(chromium: Browser, pages: Path, width: int, is_dark: bool) -> None:
    chromium.faults.clear()
    for page in ("index.html", "payments.Paid.html"):
        chromium.show(pages / page, width=width, is_dark=is_dark)
        assert chromium.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
        assert chromium.value(CONTRAST) >= 4.5, "WCAG AA"
        dark = chromium.value("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(20, 24, 29)") is is_dark
        rows = chromium.value(
            "[...document.querySelectorAll('tr')].filter((each) => each.offsetHeight && !each.innerText.trim())"
        )
        assert not rows, "no empty box"
        assert len(chromium.picture()) > 15_000
    assert chromium.faults == [], "the policy of the pages lets their own script run"


def test_names_stand_in_their_boxes_and_lines_light_up(chromium: Browser, pages: Path) -> None:
    chromium.show(pages / "index.html", width=1280, is_dark=False)
    outside = chromium.value(
        """[...document.querySelectorAll("svg a")].filter((each) => { const box = each.querySelector("rect").getBBox(),
          text = each.querySelector("text").getBBox(); return text.x < box.x || text.x + text.width > box.x + box.width; })
          .map((each) => each.textContent)"""
    )
    assert outside == []
    overlapping = chromium.value(
        """(() => { const boxes = [...document.querySelectorAll("svg rect")].map((each) => each.getBBox());
          return boxes.some((a, i) => boxes.some((b, j) => i < j && a.x < b.x + b.width && b.x < a.x + a.width
            && a.y < b.y + b.height && b.y < a.y + a.height)); })()"""
    )
    assert overlapping is False
    mark = chromium.value("document.querySelector('svg path').classList[0]")
    place = chromium.value(
        f"""(() => {{ const box = document.querySelector("svg a.{mark}"); box.scrollIntoView({{block: "center"}});
          const place = box.getBoundingClientRect(); return [place.x + 20, place.y + 10]; }})()"""
    )
    chromium.point_at(*place)
    shown = chromium.value(
        f"""[...document.querySelectorAll("svg path")].map((each) => [each.classList.contains("{mark}"),
          getComputedStyle(each).opacity])"""
    )
    assert {opacity for mine, opacity in shown if mine} == {"1"}
    assert {opacity for mine, opacity in shown if not mine} == {"0.08"}


def test_every_link_leads_somewhere(chromium: Browser, pages: Path) -> None:
    for page in ("index.html", "payments.Paid.html", "topic_3_yyy.Event3Happened.html"):
        chromium.show(pages / page, width=1280, is_dark=False)
        links = chromium.value("[...document.querySelectorAll('a')].map((each) => each.getAttribute('href'))")
        ids = set(chromium.value("[...document.querySelectorAll('[id]')].map((each) => each.id)"))
        for each in links:
            file, _, anchor = map(unquote, each.partition("#"))
            assert (pages / file).is_file(), each
            assert not anchor or (file == page and anchor in ids), each
    chromium.value("document.querySelector('h2 a').click()")
    assert chromium.value("location.hash") == "#subscribers", "an anchor leads inside of its page"


def test_search_finds_events_by_field_and_by_reader(chromium: Browser, pages: Path) -> None:
    chromium.show(pages / "index.html", width=390, is_dark=False)
    assert chromium.value("document.getElementById('found').textContent") == "60 of 60"
    chromium.value("document.getElementById('search').focus()")
    chromium.type("payment.NUMBER reader_0")
    assert chromium.value("document.getElementById('found').textContent") == "1 of 60"
    rows = chromium.value(
        """[...document.querySelectorAll("tr[data-words]")].filter((each) => each.offsetHeight)
          .map((each) => each.textContent)"""
    )
    assert len(rows) == 1
    assert "Paid" in rows[0]


def test_a_page_tells_all_of_an_event(chromium: Browser, pages: Path) -> None:
    chromium.show(pages / "payments.Paid.html", width=1280, is_dark=False, anchor="#v2.colour")
    text = chromium.value("document.body.innerText")
    for told in (
        "Colour: one of 'red', 'blue'",
        "'red'",
        "Card (kind 'card') or Cash (kind 'cash')",
        "integer (from 1, up to 99)",
        "list of string (at most 5 items)",
        "number (above 0",
        "With taxes.",
        "deprecated",
        "since v2",
        "+ colour: ",
        "- note: string",
        "~ order_id: integer (from 1) -> integer (from 1, up to 99)",
        "reader_0_.read",
        "nobody",
    ):
        assert told in text, told
    assert chromium.value("document.querySelectorAll('pre').length") == 2, "one example of each version"
    assert chromium.value("document.querySelector(':target').id") == "v2.colour"


def _crossings(sending: list[tuple[str, str]], reading: list[tuple[str, str]]) -> int:
    lines = draw(sending, reading, {}).lines
    return sum(
        1
        for place, one in enumerate(lines)
        for other in lines[place + 1 :]
        if one.start[0] == other.start[0] and (one.start[1] - other.start[1]) * (one.end[1] - other.end[1]) < 0
    )


def test_lines_that_need_not_cross_do_not() -> None:
    # each owner has topics whose names sort among the others'
    sending = [(f"owner{number % 5}", f"topic{number:02}") for number in range(30)]
    reading = [(topic, f"reader{9 - int(owner[-1])}") for owner, topic in sending]
    assert _crossings(sending, reading) == 0


def test_dots_in_names_do_not_make_one_page_of_two(tmp_path: Path) -> None:
    made = contract_of(Paid, "billing")
    contracts = [replace(made, topic=topic, type=name) for topic, name in (("a", "b.c"), ("a.b", "c"))]
    assert len(set(write_catalogue(tmp_path, contracts, [], title="The shop"))) == 3
