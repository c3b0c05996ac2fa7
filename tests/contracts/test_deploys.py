"""May this go out? Records of environments, the question, and the truth found by running both sides."""

from __future__ import annotations

import json
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from eventbus import ContractError, Event, Service
from eventbus.contracts import contract_of
from eventbus.contracts.deploying import can_deploy
from eventbus.contracts.environment import Environment, load_environment, record, releases_of
from eventbus.contracts.release import Release, read_release
from tests.contracts.histories import run


def event(version: int | None, *, name: str = "Placed", topic: str = "placed", **fields: Any) -> type[Event]:
    keywords = {"topic": topic, **({"version": version} if version else {})}
    made: type[Event] = create_model(name, __base__=Event, __cls_kwargs__=keywords, **fields)
    return made


ONE = event(1, quantity=(int, ...))
BOTH = event(2, quantity=(int, ...), amount=(int, ...))
TWO = event(3, amount=(int, ...))
OLD_VIEW = event(None, quantity=(int, ...))
NEW_VIEW = event(None, amount=(int, 1))


def release(name: str, number: str, sends: list[type[Event]] = (), reads: list[type[Event]] = (), **options: Any) -> Release:  # type: ignore[assignment]
    service = Service(name, **options)
    for kind in reads:

        @service.on(kind)
        def ship(received: Any) -> None: ...

    return releases_of([service], [contract_of(kind, name) for kind in sends], name=number)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where orders sends version 1 and fulfillment reads `quantity`."""
    record(
        tmp_path / "environments", "production", [release("orders", "1", [ONE]), release("fulfillment", "1", [], [OLD_VIEW])]
    )
    return tmp_path / "environments"


@pytest.mark.parametrize("seed", range(3))
def test_the_answer_is_what_running_both_sides_shows(seed: int) -> None:
    wrong, said = run(10, seed)
    assert wrong == []
    assert min(said.values()) > 10, said


def test_an_owner_waits_for_its_readers_and_the_answer_names_them(folder: Path) -> None:
    there = load_environment(folder, "production")
    answer = can_deploy([release("orders", "3", [TWO])], there)
    assert not answer.is_yes
    text = "\n".join(answer.lines())
    assert "no: orders 3 may not go to production" in text
    assert (
        "placed: Placed v3: field `quantity` is needed, and is not sent; this breaks fulfillment.ship of fulfillment 1"
        in text
    )
    assert "first: fulfillment, in a release whose ship reads Placed v3" in text
    assert '"amount":' in text
    together = can_deploy([release("orders", "3", [TWO]), release("fulfillment", "2", [], [NEW_VIEW])], there)
    assert together.lines()[0] == "yes, to production in this order: fulfillment 2, then orders 3"
    helped = can_deploy([release("orders", "3", [TWO])], there, [release("fulfillment", "2", [], [NEW_VIEW])])
    assert not helped.is_yes
    assert "in this order they may: fulfillment 2, then orders 3" in helped.lines()


def test_a_reader_waits_for_its_owner_and_for_what_still_lies_somewhere(folder: Path) -> None:
    needs = release("billing", "1", [], [event(None, amount=(int, ...))])
    answer = can_deploy([needs], load_environment(folder, "production"))
    assert "orders, in a release that does not send Placed v1" in answer.lines()[-1]
    record(folder, "production", [release("orders", "2", [BOTH])])
    answer = can_deploy([needs], load_environment(folder, "production"))
    assert "nothing of Placed v1 may lie in queues, outboxes and dead letters any more" in answer.lines()[-1]
    with pytest.raises(ContractError, match="of these something may: placed/Placed.v1"):
        record(folder, "production", [], drained=["placed/Placed.v9"])
    record(folder, "production", [], drained=["placed/Placed.v1"])
    assert can_deploy([needs], load_environment(folder, "production")).is_yes


def test_a_rolling_deploy_has_old_readers_beside_new_senders(tmp_path: Path) -> None:
    record(tmp_path, "production", [release("orders", "1", [ONE], [OLD_VIEW])])
    answer = can_deploy([release("orders", "2", [TWO], [NEW_VIEW])], load_environment(tmp_path, "production"))
    assert "first: orders itself, in a release that reads Placed v3 and does not send it yet" in "\n".join(answer.lines())


def test_what_vanishes_or_is_parked_is_said(folder: Path) -> None:
    there = load_environment(folder, "production")
    gone = can_deploy([release("orders", "2")], there)
    assert "Placed: is sent no more; fulfillment.ship of fulfillment 1 would wait for ever" in "\n".join(gone.lines())
    further = event(1, name="Further", x=(int, ...))
    record(folder, "production", [release("fulfillment", "2", [], [OLD_VIEW], unhandled="park")])
    parked = can_deploy([release("orders", "2", [ONE, further])], load_environment(folder, "production"))
    assert 'fulfillment 2 parks it: it has no handler for it and unhandled="park"' in "\n".join(parked.lines())
    noted = can_deploy([release("other", "1", [], [event(None, name="Never", topic="never", x=(int, ...))])], there)
    assert noted.is_yes
    assert noted.notes == ["note: nobody in production sends Never on never; other.ship waits for it"]


def test_a_service_that_is_gone_leaves_what_it_sent(folder: Path) -> None:
    record(folder, "production", [], gone=["orders"])
    there = load_environment(folder, "production")
    assert [each.name for _, each in there.waiting()] == ["Placed v1"]
    assert there.sent() == []
    record(folder, "production", [], drained=["placed/Placed.v1"])
    assert [each.name for each in folder.glob("*/*")] == ["fulfillment.json"]
    with pytest.raises(ContractError, match="nobody is not recorded in production"):
        record(folder, "production", [], gone=["nobody"])


def test_records_come_from_a_wheel_and_from_an_address(folder: Path, tmp_path: Path) -> None:
    records = sorted(folder.glob("*/*.json"))
    wheel = tmp_path / "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in records:
            archive.write(path, f"shop/environments/{path.relative_to(folder).as_posix()}")
    (folder / "index.json").write_text(json.dumps([path.relative_to(folder).as_posix() for path in records]))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        by_address = load_environment(f"http://127.0.0.1:{server.server_address[1]}", "production")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    expected = load_environment(folder, "production")
    texts = [each.to_json() for each in expected.releases]
    assert [each.to_json() for each in by_address.releases] == texts
    assert [each.to_json() for each in load_environment(wheel, "production").releases] == texts
    assert read_release(texts[0], "again").to_json() == texts[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no record of a release"),
        ("[]", "is no record of a release"),
        ('{"service": "a"}', "reads is missing"),
        ('{"service": "a", "release": 1, "reads": [], "publishes": [], "waiting": [], "parks": []}', "1 is no text"),
        ('{"service": "a", "release": "1", "reads": [], "publishes": [{}], "waiting": [], "parks": []}', "publishes[0]"),
        ('{"service": "a", "release": "1", "reads": [{"schema": {"if": {}}}], "publishes": []}', "reads[0]"),
        ('{"service": "../a", "release": "1", "reads": [], "publishes": [], "waiting": [], "parks": []}', "../a"),
    ],
)
def test_a_record_that_is_none_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ContractError) as caught:
        read_release(text, "production/a.json")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [" 1", "a\nb", "1\x1b[31m", "1\u202e", "9" * 101])
def test_a_name_that_would_spoil_a_line_is_refused_when_made_and_when_read(name: str) -> None:
    with pytest.raises(ContractError, match="orders: a release's name is 1 to 100 printable"):
        release("orders", name, [ONE])
    document = json.loads(release("orders", "1", [ONE]).to_json())
    with pytest.raises(ContractError, match="p/orders.json: orders: a release's name is"):
        read_release(json.dumps({**document, "release": name}), "p/orders.json")


def test_a_release_that_is_called_gone_keeps_its_record(folder: Path) -> None:
    record(folder, "production", [release("orders", "gone", [ONE])])
    assert load_environment(folder, "production").release("orders") is not None


def test_mistakes_are_said(folder: Path) -> None:
    with pytest.raises(ContractError, match="did you mean production"):
        load_environment(folder, "produktion")
    with pytest.raises(ContractError, match="two releases of one service"):
        can_deploy([release("a", "1"), release("a", "2")], Environment("production", []))
    (folder / "production" / "orders.json").rename(folder / "production" / "other.json")
    with pytest.raises(ContractError, match="is the record of orders; move it"):
        load_environment(folder, "production")
    with pytest.raises(ContractError, match="begins with a letter"):
        record(folder, "..", [])
