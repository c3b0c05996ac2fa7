"""Events: class keywords, strict construction, tolerant views, and types that survive."""

from __future__ import annotations

import copy
import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID, uuid4

import pytest
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from eventbus import Event, EventDefinitionError, InvalidNameError, Value
from eventbus.event import event_id, event_info, event_topic
from eventbus.wire.codec import dump

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Part(Value):
    price: Decimal
    seen: datetime | None = None
    raw: bytes = b""


class Base(Event):
    order_id: UUID


class Everything(Base, topic="everything", version=3, name="All"):
    when: datetime
    day: date
    span: timedelta
    amount: Decimal
    raw: bytes
    colour: Colour
    parts: tuple[Part, ...]
    by_key: dict[str, Part]
    note: str | None = None
    count: int = 5
    choice: Annotated[Literal["a"] | int, Field(union_mode="left_to_right")] = "a"
    tags: frozenset[str] = frozenset()


class Changed(Event, Generic[T], topic="changed"):
    what: T


class Tree(Value):
    name: str
    children: tuple[Tree, ...] = ()


class Planted(Event, topic="planted"):
    tree: Tree


def everything(**changes: object) -> Everything:
    values: dict[str, object] = {
        "order_id": uuid4(),
        "when": datetime.now(UTC),
        "day": date(2026, 1, 2),
        "span": timedelta(days=1, microseconds=5),
        "amount": Decimal("10.50"),
        "raw": bytes(range(256)),
        "colour": Colour.RED,
        "parts": (Part(price=Decimal("1.10"), seen=datetime.now(UTC), raw=b"\xff\x00"),),
        "by_key": {"x": Part(price=Decimal(1))},
        "tags": frozenset({"t"}),
    }
    return Everything(**{**values, **changes})  # type: ignore[arg-type]


def read(kind: type[Event], data: object) -> Event:
    event: Event = kind.__pydantic_validator__.validate_python(data, extra="ignore")
    return event


def test_class_keywords_bind_topic_version_and_name() -> None:
    info = event_info(Everything)
    assert (info.topic, info.version, info.name) == ("everything", 3, "All")


def test_a_subclass_inherits_the_topic_but_not_the_name() -> None:
    class More(Everything):
        extra: int = 0

    assert event_info(More) == (info := event_info(More))
    assert (info.topic, info.version, info.name) == ("everything", 3, "More")


def test_an_event_without_topic_says_how_to_give_one() -> None:
    with pytest.raises(EventDefinitionError, match='Base has no topic; write class Base\\(Event, topic="..."\\)'):
        event_topic(Base)


@pytest.mark.parametrize("topic", ["", "bad topic", "x" * 65, "ok\n", "ünï", "#ephemeral"])
def test_a_topic_out_of_rule_is_refused_when_the_class_is_made(topic: str) -> None:
    with pytest.raises(InvalidNameError, match="topic name"):

        class Bad(Event, topic=topic):
            pass


@pytest.mark.parametrize("version", [0, -1, True, "1"])
def test_a_version_that_is_no_whole_number_is_refused(version: object) -> None:
    with pytest.raises(EventDefinitionError, match="version="):

        class Bad(Event, topic="t", version=version):  # type: ignore[arg-type]
            pass


def test_its_owner_cannot_construct_it_with_unknown_or_wrong_fields() -> None:
    with pytest.raises(ValidationError, match="surprise"):
        everything(surprise=1)
    with pytest.raises(ValidationError, match="amount"):
        everything(amount="a lot")
    with pytest.raises(ValidationError, match="frozen"):
        everything().count = 6


def test_a_view_reads_only_its_fields_also_in_nested_values() -> None:
    class Narrow(Event, topic="everything", name="All"):
        order_id: UUID
        parts: tuple[Small, ...]

    class Small(Value):
        price: Decimal

    Narrow.model_rebuild(_types_namespace={"Small": Small})
    event = everything()
    view = read(Narrow, dump(event))
    assert view.order_id == event.order_id  # type: ignore[attr-defined]


def test_every_supported_type_survives() -> None:
    event = everything()
    assert read(Everything, dump(event)) == event


def test_generic_and_recursive_events_survive() -> None:
    changed = Changed[Part](what=Part(price=Decimal(2), raw=b"\xfe"))
    assert event_topic(type(changed)) == "changed"
    assert read(Changed[Part], dump(changed)) == changed
    planted = Planted(tree=Tree(name="a", children=(Tree(name="b"),)))
    assert read(Planted, dump(planted)) == planted


@pytest.mark.parametrize("field", ["when"])
def test_a_naive_datetime_is_refused_and_names_the_field(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        everything(**{field: datetime(2026, 1, 1)})
    with pytest.raises(ValidationError, match="seen"):
        Part(price=Decimal(1), seen=datetime(2026, 1, 1))


def test_a_plain_model_inside_an_event_must_keep_its_datetimes_aware() -> None:
    class Plain(BaseModel):
        at: datetime

    with pytest.raises(EventDefinitionError, match=r"derive Plain from eventbus\.Value"):

        class Bad(Event, topic="t"):
            plain: Plain

    class Fine(BaseModel):
        at: AwareDatetime

    class Good(Event, topic="t"):
        fine: Fine

    assert Good(fine=Fine(at=datetime.now(UTC)))


def test_not_a_number_is_refused() -> None:
    class Measured(Event, topic="t"):
        value: float

    with pytest.raises(ValidationError, match="value"):
        Measured(value=float("nan"))


def test_the_id_belongs_to_the_object_and_not_to_a_changed_copy() -> None:
    event = everything()
    identifier = event_id(event)
    assert UUID(identifier).version == 7
    assert event_id(event) == identifier
    assert event_id(event.model_copy(update={"count": 9})) != identifier
    assert event_id(copy.deepcopy(event)) != identifier
    assert event == event.model_copy()
    assert "__event_id__" not in dump(event)
    assert identifier not in repr(event)


def test_errors_do_not_repeat_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        everything(amount="secret-4711")
    assert "secret-4711" not in str(caught.value)
