"""Event: a typed, frozen fact bound to a topic.

An event says what happened, in the past tense, and knows nobody who listens. The class keywords bind it to its topic and
version, and its name on the wire is the class's or the one given; none of the three ever depends on where the module
lies. The owner of an event constructs it, strictly; everybody else declares a **view** of it: an event class with the same
topic and name and only the fields that are read. `read` builds a view from the wire and passes over what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from eventbus.errors import EventDefinitionError
from eventbus.names import check_name, warn_without_room
from eventbus.wire.envelope import MAX_COUNT, MAX_NAME_LENGTH
from eventbus.wire.field_types import check_nested, keep_on_the_wire, leave_instants
from eventbus.wire.identity import new_id
from eventbus.wire.personal import HidesPersonal

_ID = "__event_id__"


@dataclass(frozen=True, slots=True)
class EventInfo:
    """What the class keywords of an event say.

    Attributes:
        topic: None for a base class.
        name: its type on the wire.
        version: of its data.
        is_owned: whether the class states a version: it is its owner's then, and no view.
    """

    topic: str | None
    name: str
    version: int
    is_owned: bool = False


class Value(HidesPersonal):
    """A frozen part of an event, such as an order's line: nested in events, never published itself."""

    # written out, since type checkers read no constant: they know by it that a field cannot be set.
    # NaN in a field of any type would travel as null; as it is, publishing refuses it
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, ser_json_inf_nan="constants"
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Check what the value is made of: it is written by its own rules, whatever it lies in."""
        super().__pydantic_init_subclass__(**kwargs)
        if cls.__pydantic_complete__:
            check_nested(cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return keep_on_the_wire(handler(source))


class Event(HidesPersonal):
    """A typed, immutable fact: `class OrderPlaced(Event, topic="orders_placed", version=1)`.

    Class keywords:
        topic: the topic that carries it; inherited by subclasses. A base class for others may go without.
        version: version of its data, 1 or more; inherited. Given by the owner alone: a view has none.
        name: its type on the wire; the class's own name unless given. Not inherited.

    Raises:
        InvalidNameError, EventDefinitionError: when the class is made and a keyword or field cannot work.
        pydantic.ValidationError: when it is constructed with a wrong value; names the field.
    """

    __event_info__: ClassVar[EventInfo] = EventInfo(topic=None, name="Event", version=1)
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, ser_json_inf_nan="constants"
    )

    def __init_subclass__(
        cls, *, topic: str | None = None, version: int | None = None, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        inherited = cls.__event_info__
        if topic is not None:
            check_name(topic, kind="topic")
            warn_without_room(topic, cls.__name__)
        if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
            raise EventDefinitionError(f"{cls.__name__}: version={version!r}; give a whole number, 1 or more")
        if name is not None and (not isinstance(name, str) or not name.isprintable() or not name):
            raise EventDefinitionError(f"{cls.__name__}: name={name!r}; give a printable string")
        if (version or 0) > MAX_COUNT or len(name if name is not None else cls.__name__) > MAX_NAME_LENGTH:
            raise EventDefinitionError(
                f"{cls.__name__[:80]}: no reader takes a version above {MAX_COUNT} or a name of more than {MAX_NAME_LENGTH} "
                "characters"
            )
        cls.__event_info__ = EventInfo(
            topic=topic if topic is not None else inherited.topic,
            name=name if name is not None else cls.__name__,
            version=version if version is not None else inherited.version,
            is_owned=version is not None or inherited.is_owned,
        )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Take the class keywords, which pydantic hands on here too, and check what the event is made of."""
        if cls.__pydantic_complete__:
            check_nested(cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return leave_instants(keep_on_the_wire(handler(source)))

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied.__dict__.pop(_ID, None)  # a changed copy is another fact; with the old id an inbox would swallow it
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        copied.__dict__.pop(_ID, None)
        return copied


def event_info(event_type: type[Event]) -> EventInfo:
    """Return topic, name and version of an event class."""
    return event_type.__event_info__


def event_topic(event_type: type[Event]) -> str:
    """Return the topic of an event class.

    Raises:
        EventDefinitionError: when it has none, so that it can be neither published nor bound.
        TypeError: it is no event class.
    """
    try:
        topic = event_type.__event_info__.topic
    except AttributeError:
        raise TypeError(
            f"{event_type.__name__} is no event; give an instance of a class that derives from eventbus.Event"
        ) from None
    if topic is None:
        raise EventDefinitionError(
            f'{event_type.__name__} has no topic; write class {event_type.__name__}(Event, topic="...")'
        )
    return topic


def event_id(event: Event, make: Callable[[], str] = new_id) -> str:
    """Return the id of this event object (UUIDv7 text), made at the first call and the same ever after.

    So publishing the same object again, after an unknown outcome, sends the same id.
    """
    state = event.__dict__
    identifier: str | None = state.get(_ID)
    if identifier is None:
        identifier = state[_ID] = make()
    return identifier
