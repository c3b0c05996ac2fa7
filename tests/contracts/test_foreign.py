"""Events of others, as they are: GitHub's webhooks and those of openedx-events are published, checked and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from eventbus import Event, Service, Value
from eventbus.contracts import check_golden, check_views, differences, load_contracts, publish, views_of
from eventbus.contracts.asyncapi import asyncapi
from eventbus.contracts.catalogue import write_catalogue
from eventbus.contracts.schema import read_schema
from eventbus.contracts.targets import owned_events
from eventbus.event import event_topic
from tests.browser import Browser
from tests.contracts.foreign import github, openedx
from tests.contracts.test_documents import SCHEMA, browser, missing

GITHUB = (
    *("push$event", "ping$event", "create$event", "star$created", "release$published"),
    *("pull_request$opened", "workflow_job$queued", "workflow_dispatch$event"),
)
EVENTS = {"github": len(GITHUB), "openedx": 60}
"""At least so many events; those of openedx-events grow with its versions."""


@pytest.fixture(scope="module", params=EVENTS)
def owner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    if request.param == "github":
        return github(tmp_path_factory.mktemp("github"), GITHUB)
    return openedx()


@pytest.fixture(scope="module")
def published(owner: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `contracts` and `golden`."""
    folder = tmp_path_factory.mktemp("published")
    events = owned_events([owner.__name__])
    assert len(events) >= EVENTS[owner.__name__.partition("_")[0]]
    done = publish(events, folder / "contracts", golden=folder / "golden")
    assert done.refused == done.warned == ()
    assert len(done.written) == 3 * len(events), "each contract, and its bytes in both codecs"
    return folder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(browser(), tmp_path_factory.mktemp("profile")) as started:
        yield started


def test_each_is_published_and_fits_its_own_class(owner: ModuleType, published: Path) -> None:
    contracts = {(each.topic, each.type): each for each in load_contracts(published / "contracts")}
    event_types = [event_type for event_type, _ in owned_events([owner.__name__])]
    assert check_golden(published / "golden", list(contracts.values()), event_types, []) == []
    for event_type in event_types:
        contract = contracts[event_topic(event_type), event_type.__event_info__.name]
        assert differences(contract.schema, read_schema(event_type)) == [], contract.name


class Pusher(Value):
    name: str


class PushView(Event, topic="github.push", name="PushEvent"):
    """Reads a field whose name, `ref`, is a word of schemas too."""

    ref: str
    pusher: Pusher


class Course(Value):
    course_key: str
    display_name: str = ""


class CreatedView(
    Event, topic="openedx.content_authoring", name="org.openedx.content_authoring.course.catalog_info.changed.v1"
):
    catalog_info: Any


class WrongPush(Event, topic="github.push", name="PushEvent"):
    ref: int


class WrongCourse(Event, topic="openedx.learning", name="org.openedx.learning.course.enrollment.created.v1"):
    enrollment: list[Course]


def _read(event: Any) -> None: ...


def _services(owner: ModuleType) -> list[Service]:
    """A service that has a handler for each event, with the owner's own class, and one with views of its own."""
    whole, part = Service("whole"), Service("part")
    for event_type, _ in owned_events([owner.__name__]):
        whole.on(event_type)(_read)
    part.on(PushView if owner.__name__.startswith("github") else CreatedView)(_read)
    return [whole, part]


def test_views_of_them_are_checked(owner: ModuleType, published: Path) -> None:
    contracts = load_contracts(published / "contracts")
    assert check_views(views_of(_services(owner)), contracts) == []
    wrong = Service("wrong")
    wrong.on(WrongPush if owner.__name__.startswith("github") else WrongCourse)(_read)
    found = check_views(views_of([wrong]), contracts)
    assert len(found) == 1
    assert ("`ref`" if owner.__name__.startswith("github") else "`enrollment`") in str(found[0])
    assert found[0].counterexample


def test_they_stand_in_the_documents(owner: ModuleType, published: Path, chromium: Browser, tmp_path: Path) -> None:
    contracts = load_contracts(published / "contracts")
    views = views_of(_services(owner))
    pages = write_catalogue(tmp_path, contracts, views, title=owner.__name__)
    assert len(pages) == len(contracts) + 1
    largest = max(pages[1:], key=lambda each: each.stat().st_size)
    chromium.faults.clear()
    for page in (pages[0], largest):
        for width in (1280, 390):
            chromium.show(page, width=width, is_dark=False)
            assert chromium.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    assert chromium.faults == []
    if not SCHEMA.exists():
        missing("the AsyncAPI schemas are not here; npm ci --prefix tools/asyncapi")
    document = asyncapi(contracts, views, title=owner.__name__, version="1.0.0")
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(document)
