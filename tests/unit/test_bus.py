"""The bus: its states, its bad inputs, its middleware."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import datetime
from typing import Any

import gevent
import pytest

import eventbus
from eventbus import (
    Bus,
    BusStateError,
    ConfigurationError,
    Context,
    EncodeError,
    Event,
    EventDefinitionError,
    Middleware,
    Outcome,
    Retry,
    Service,
    UnknownEngineError,
)
from eventbus.settings import BusSettings
from eventbus.testing import Harness
from tests.waiting import PATIENCE, eventually


class Placed(Event, topic="placed"):
    number: int


def shop(act: Any = lambda event: None, **options: Any) -> Service:
    service = Service("shop")
    service.on(Placed, **options)(act)
    return service


def test_an_unknown_engine_names_those_that_are_known() -> None:
    with pytest.raises(UnknownEngineError, match=r"no engine serves 'kafka'; known are .*memory://"):
        Bus("kafka://host")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://?depth=5", "unknown option 'depth'; known are max_delay, max_depth"),
        ("memory://?max_depth=many", "option 'max_depth'"),
        ("memory://?max_depth=1&max_depth=2", "given twice"),
        ("memory://?when_full=drop", "option 'when_full'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Bus(url)


def test_the_environment_configures_the_bus_and_its_faults_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTBUS_URL", "memory://?max_depth=7")
    monkeypatch.setenv("EVENTBUS_SOURCE", "env")
    with Bus() as bus:
        assert (bus.engine.options.max_depth, bus.source) == (7, "env")  # type: ignore[attr-defined]
    monkeypatch.setenv("EVENTBUS_GRACE", "soon")
    with pytest.raises(ConfigurationError, match="EVENTBUS_GRACE"):
        Bus()


def test_misuse_is_refused_with_what_to_do() -> None:
    bus = Bus("memory://")
    with pytest.raises(EventDefinitionError, match="has no topic"):

        class Homeless(Event):
            pass

        bus.publish(Homeless())
    for options in (
        {"delay": -1},
        {"delay": 1, "deliver_at": datetime.now()},
        {"deliver_at": datetime.now()},
        {"expires_in": 0},
    ):
        with pytest.raises(EncodeError, match="Placed"):
            bus.publish(Placed(number=1), **options)  # type: ignore[arg-type]
    for given in ({"number": 1}, None, Placed):
        with pytest.raises(TypeError, match=r"no event; give an instance of a class that derives from eventbus\.Event"):
            bus.publish(given)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dict is no event"):
        bus.publish_all([Placed(number=1), {"number": 1}])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="has no handler"):
        bus.start(Service("empty"))
    with pytest.raises(ConfigurationError, match="unknown codec"):
        Bus("memory://", codec="pickle")
    with pytest.raises(ConfigurationError, match="not both"):
        Bus("memory://", engine=bus.engine)
    service = shop()
    bus.start(service)
    with pytest.raises(BusStateError, match=r"start service\.replica\(\)"):
        bus.start(service)
    bus.start(service.replica())
    bus.stop()
    bus.stop()
    for act in (lambda: bus.publish(Placed(number=1)), lambda: bus.publish_all([]), lambda: bus.start(shop())):
        with pytest.raises(BusStateError, match="closed bus"):
            act()


def test_a_bus_of_another_thread_is_refused() -> None:
    caught: list[BaseException] = []
    with Bus("memory://") as bus:

        def publish() -> None:
            try:
                bus.publish(Placed(number=1))
            except BaseException as error:
                caught.append(error)

        thread = threading.Thread(target=publish)
        thread.start()
        thread.join()
    assert isinstance(caught[0], BusStateError)


def test_a_handler_that_returns_no_event_fails_with_a_clear_error() -> None:
    errors: list[BaseException | None] = []

    class Watch(Middleware):
        def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
            errors.append(error)

    with Bus("memory://", middleware=[Watch()]) as bus:
        bus.start(shop(lambda event: 5, retry=Retry(attempts=1)))
        bus.publish(Placed(number=1))
        eventually(lambda: errors)
    assert "return None, an event, or a list or tuple of events" in str(errors[0])


def test_middleware_wraps_publish_and_handle_in_order() -> None:
    trace: list[str] = []

    class Layer(Middleware):
        def __init__(self, name: str) -> None:
            self.name = name

        def publish(self, topic: str, envelope: Any, proceed: Any) -> None:
            trace.append(f"{self.name} publish")
            envelope.traceparent = "00-1-2-01"
            proceed(topic, envelope)
            trace.append(f"{self.name} published")

        def handle(self, event: Any, context: Context, proceed: Any) -> Any:
            trace.append(f"{self.name} handle {context.traceparent}")
            result = proceed(event, context)
            trace.append(f"{self.name} handled")
            return result

        def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
            trace.append(f"{self.name} {outcome.value}")

    with Bus("memory://", middleware=[Layer("outer"), Layer("inner")]) as bus:
        bus.start(shop())
        bus.publish(Placed(number=1), delay=0.01)
        eventually(lambda: "inner handled" in trace)
    assert trace == [
        *("outer publish", "inner publish", "inner published", "outer published"),
        *("outer handle 00-1-2-01", "inner handle 00-1-2-01", "inner handled", "outer handled"),
        *("outer handled", "inner handled"),
    ]


def test_a_middleware_that_fails_when_told_harms_nobody() -> None:
    class Broken(Middleware):
        def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
            raise RuntimeError("broken")

    with Bus("memory://", middleware=[Broken()]) as bus:
        bus.start(shop())
        bus.publish(Placed(number=1))
        eventually(lambda: bus.dispatchers[0].handled == 1)


def test_many_deferred_events_cost_no_greenlet_each() -> None:
    seen: list[int] = []
    with Harness(shop(lambda event: seen.append(event.number))) as harness:
        harness.settle()
        before = sum(isinstance(each, gevent.Greenlet) for each in __import__("gc").get_objects())
        for number in range(20_000):
            harness.publish(Placed(number=number), delay=0.5)
        after = sum(isinstance(each, gevent.Greenlet) for each in __import__("gc").get_objects())
        assert after - before < 10
        harness.settle(timeout=PATIENCE)
        assert len(seen) == 20_000


def test_publishing_again_sends_the_same_id() -> None:
    event = Placed(number=1)
    with Bus("memory://") as bus:
        assert bus.publish(event) == bus.publish(event)


def test_importing_the_package_loads_neither_gevent_nor_an_engine() -> None:
    code = "import sys, eventbus; assert not {'gevent', 'gnsq', 'eventbus.engines.memory'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_exported_and_documented() -> None:
    for name in eventbus.__all__:
        assert getattr(eventbus, name).__doc__, name
    public = {name for name in vars(eventbus) if name[0] != "_" and isinstance(getattr(eventbus, name), type)}
    assert public - {"Any"} <= set(eventbus.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = eventbus.Nonsense


def test_run_drains_on_a_signal_and_ends_on_the_second(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, gevent\n"
        "from eventbus import Bus, Event, Service\n"
        "class Placed(Event, topic='placed'):\n    number: int\n"
        "service = Service('shop')\n"
        "@service.on(Placed)\n"
        "def handle(event: Placed) -> None:\n"
        "    print('begin', flush=True); gevent.sleep(float(sys.argv[1])); print('end', flush=True)\n"
        "bus = Bus('memory://')\n"
        "gevent.spawn_later(0.1, lambda: bus.publish(Placed(number=1)))\n"
        "def tell() -> None:\n"
        "    while not bus.is_stopping: gevent.sleep(0.01)\n"
        "    print('stopping', flush=True)\n"
        "gevent.spawn(tell)\n"
        "print(bus.run(service, grace=3600).finished, flush=True)\n"
    )
    for seconds, signals, code in (("3", 1, 0), ("3600", 2, 130)):
        process = subprocess.Popen([sys.executable, str(program), seconds], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        process.terminate()
        assert process.stdout.readline() == "stopping\n"
        if signals == 2:
            process.terminate()
        rest = process.stdout.read()
        assert process.wait(PATIENCE) == code
        process.stdout.close()
        assert rest == ("end\n1\n" if signals == 1 else "")


def test_settings_have_bounds() -> None:
    with pytest.raises(ValueError, match="message_timeout"):
        BusSettings(message_timeout=0.5)
