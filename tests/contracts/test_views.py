"""Views: who reads what, what does not fit, and what happens at run time."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import AfterValidator, Field, create_model

from eventbus import Bus, ContractError, Event, Service, Value
from eventbus.contracts import check_views, contract_of, impact, publish, views_of
from eventbus.contracts.values import count_in_words
from eventbus.contracts.views import View, trials_of
from eventbus.settings import BusSettings
from eventbus.sql import Database, Outbox, metadata
from eventbus.sql.tables import outbox as table


class Line(Value):
    sku: str
    quantity: int = Field(ge=1)


class Placed(Event, topic="placed", version=1):
    order_id: UUID
    lines: tuple[Line, ...] = Field(min_length=1)
    note: str | None = None


class LineView(Value):
    sku: str


class PlacedView(Event, topic="placed", name="Placed"):
    order_id: UUID
    lines: tuple[LineView, ...]


class AmountView(Value):
    amount: int


class WrongView(Event, topic="placed", name="Placed"):
    lines: tuple[AmountView, ...]


def _short(text: str) -> str:
    if len(text) > 5:
        raise ValueError("longer than five")
    return text


class SecretRule(Event, topic="placed", name="Placed"):
    note: Annotated[str | None, AfterValidator(lambda note: note and _short(note))]


class OtherType(Event, topic="placed", name="Cancelled"):
    order_id: UUID


class OtherTopic(Event, topic="elsewhere"):
    order_id: UUID


CONTRACT = contract_of(Placed, "orders")


def reader(event_type: type[Event], name: str = "fulfillment") -> Service:
    service = Service(name)

    def ship(event: event_type) -> None: ...  # type: ignore[valid-type]

    service.on(event_type)(ship)
    return service


def misfits(event_type: type[Event]) -> list[str]:
    return [str(each) for each in check_views(views_of([reader(event_type)]), [CONTRACT])]


def test_a_view_that_fits() -> None:
    assert misfits(PlacedView) == []
    assert misfits(Placed) == []


def test_a_view_that_does_not_fit_names_event_field_subscriber_and_value() -> None:
    (said,) = misfits(WrongView)
    assert "placed: Placed v1: field `lines[].amount` is needed, and is not sent" in said
    assert "this breaks fulfillment.ship" in said
    assert '"quantity": 1' in said, "the value that breaks the handler"


def test_a_rule_that_no_schema_says_is_found_by_trial() -> None:
    (said,) = misfits(SecretRule)
    assert "longer than five" in said


def test_a_view_of_nothing_is_a_misfit() -> None:
    assert "carries no 'Cancelled'" in misfits(OtherType)[0]
    assert "topic 'elsewhere' has no contract" in misfits(OtherTopic)[0]


def test_impact_says_who_reads_a_field_and_what_nobody_reads() -> None:
    views = views_of([reader(PlacedView), reader(Placed, "archive")])
    assert impact("placed.lines.sku", views, [CONTRACT])[0] == ["archive.ship", "fulfillment.ship"]
    assert impact("placed.lines[].quantity", views, [CONTRACT])[0] == ["archive.ship"]
    assert impact("placed.note", views_of([reader(PlacedView)]), [CONTRACT]) == ([], ["lines[].quantity", "note"])


def settings(folder: Path, mode: str) -> BusSettings:
    return BusSettings(contracts=mode, contracts_from=str(folder))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish([(Placed, "orders")], tmp_path / "contracts")
    return tmp_path / "contracts"


class Unpublished(Event, topic="unpublished", version=1):
    number: int


class Changed(Event, topic="placed", version=1, name="Placed"):
    order_id: str


def test_enforced_contracts_refuse_a_service_and_an_event(folder: Path, tmp_path: Path) -> None:
    with Bus("memory://", settings=settings(folder, "enforce")) as bus:
        bus.start(reader(PlacedView))
        bus.publish(Placed(order_id=UUID(int=1), lines=(Line(sku="a", quantity=1),)))
        with pytest.raises(ContractError, match="this breaks wrong.ship"):
            bus.start(reader(WrongView, "wrong"))
        with pytest.raises(ContractError, match="is not published"):
            bus.publish(Unpublished(number=1))
        with pytest.raises(ContractError, match="differs from its contract"):
            bus.publish(Changed(order_id="x"))
        with pytest.raises(ContractError, match="PlacedView states no version"):
            bus.publish(PlacedView(order_id=UUID(int=1), lines=()))
        database = Database(f"sqlite:///{tmp_path}/x.db")
        database.create_tables(metadata)
        outbox = Outbox(database, receipts=None)
        bus.attach(outbox)
        with pytest.raises(ContractError, match="is not published"):
            database.transact(lambda connection: outbox.add(connection, Unpublished(number=1)))
    database.close()


def test_an_outbox_without_a_bus_enforces_them_too(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTBUS_CONTRACTS", "enforce")
    monkeypatch.setenv("EVENTBUS_CONTRACTS_FROM", str(folder))
    with Database(f"sqlite:///{tmp_path}/x.db") as database:
        database.create_tables(metadata)
        for event, said in (
            (Unpublished(number=1), "is not published"),
            (PlacedView(order_id=UUID(int=1), lines=()), "version"),
        ):
            with pytest.raises(ContractError, match=said), database.engine.begin() as connection:
                Outbox(source="billing").add(connection, event)
        assert database.read(lambda connection: connection.scalar(sa.select(table.c.id))) is None


def test_warned_contracts_only_warn(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Bus("memory://", settings=settings(folder, "warn")) as bus:
        bus.start(reader(WrongView, "wrong"))
        for number in range(3):
            bus.publish(Unpublished(number=number))
    said = [record.getMessage() for record in caplog.records if record.name == "eventbus.contracts"]
    assert len(said) == 2, "the view, and the event class once"


def test_contracts_that_cannot_be_read_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no such folder"):
        Bus("memory://", settings=settings(tmp_path / "nowhere", "enforce"))


def test_the_report_says_of_how_many_values_how_many_were_tried() -> None:
    fields: dict[str, Any] = {f"f{number}": (int, number) for number in range(190)}
    keywords: Any = {"topic": "t", "version": 1}
    many: type[Event] = create_model("Many", __base__=Event, __cls_kwargs__=keywords, **fields)
    few: type[Event] = create_model("Few", __base__=Event, __cls_kwargs__=keywords, a=(bool, ...))
    for kind, said in ((many, r"500 of [6-9]\d\d values"), (few, r"\d of \d values")):
        counts = trials_of(View("s", "s", "h", kind), [contract_of(kind, "o")])
        assert re.fullmatch(said, count_in_words(*counts[f"{kind.__name__} v1"])), counts
    assert count_in_words(500, 2000) == "500 of more than 2,000 values"
