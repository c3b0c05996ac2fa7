"""Services: handlers are checked when they are bound."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import Batch, ConfigurationError, Context, Event, HandlerDefinitionError, InvalidNameError, Service


class Placed(Event, topic="placed"):
    number: int


class Shipped(Event, topic="shipped"):
    number: int


def test_functions_methods_and_callables_can_be_bound_and_stay_callable() -> None:
    class Shop:
        def take(self, event: Placed, context: Context) -> None: ...

    service = Service("shop")
    service.on(Placed)(Shop().take)

    @service.on(Shipped)
    def note(event: Shipped) -> int:  # type: ignore[type-var]
        return event.number

    assert note(Shipped(number=5)) == 5
    assert [binding.wants_context for binding in service.bindings] == [True, False]
    assert service.topics == ("placed", "shipped")


def two_many(event: Placed, context: Context, more: int) -> None: ...
def none() -> None: ...
def keyword(event: Placed, *, store: Any) -> None: ...
def other_event(event: Shipped) -> None: ...
def other_context(event: Placed, context: int) -> None: ...
def a_list(event: list[Placed]) -> None: ...
async def coroutine(event: Placed) -> None: ...
def generator(event: Placed) -> Any:
    yield 1


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (two_many, "it needs \\(event, context, more\\)"),
        (none, "a handler takes \\(event: Placed\\)"),
        (keyword, "it needs \\(event, store\\)"),
        (other_event, "is annotated Shipped, but it is given Placed"),
        (other_context, "is annotated int, but it is given Context"),
        (a_list, "but it is given Placed"),
        (coroutine, "give a plain function"),
        (generator, "give a plain function"),
        (5, "give a function or a bound method"),
    ],
)
def test_a_handler_that_does_not_fit_is_refused(handler: Any, message: str) -> None:
    with pytest.raises(HandlerDefinitionError, match=message):
        Service("shop").on(Placed)(handler)


def test_a_batch_handler_takes_a_list() -> None:
    service = Service("shop")
    with pytest.raises(HandlerDefinitionError, match=r"but it is given list\[Placed\]"):
        service.on(Placed, batch=Batch())(lambda_with_annotation)  # type: ignore[call-overload]
    service.on(Placed, batch=Batch())(a_list)


def lambda_with_annotation(event: Placed) -> None: ...


def test_two_handlers_for_one_event_are_refused() -> None:
    service = Service("shop")

    @service.on(Placed)
    def first(event: Placed) -> None: ...

    with pytest.raises(HandlerDefinitionError, match="is handled by .*first already"):

        @service.on(Placed)
        def second(event: Placed) -> None: ...


def test_wrong_options_are_refused() -> None:
    for make in (
        lambda: Service("bad name"),
        lambda: Service("shop", unhandled="drop"),  # type: ignore[arg-type]
        lambda: Service("shop", max_in_flight=0),
        lambda: Service("shop").on(Placed, concurrency=0),
        lambda: Service("shop").on(Placed, timeout=0),
        lambda: Service("shop").on(int),  # type: ignore[type-var]
    ):
        with pytest.raises(ConfigurationError):
            make()


def test_a_service_whose_dead_letters_would_have_no_name_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="dead-letter topic"):
        Service("s" * 60).on(Placed)


def test_a_replica_has_the_same_handlers_and_another_name() -> None:
    service = Service("shop", instance="shop-1")
    service.on(Placed)(lambda event: None)
    twin = service.replica("shop-2")
    assert (twin.name, twin.instance, twin.bindings) == ("shop", "shop-2", service.bindings)
