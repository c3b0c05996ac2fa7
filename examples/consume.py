"""Step 2, the consumer: a service binds the channel `default` to the topic `email`.

python examples/consume.py            # publishes three events to itself and ends
python examples/consume.py --listen   # waits for events of others until Ctrl-C
"""

import sys

import gevent.event

from eventbus import Bus, Context, Event, Service


class EmailRequested(Event, topic="email"):
    """Somebody is to get a mail."""

    recipient: str
    text: str


service = Service("mailer", channel="default")
handled: list[str] = []
all_handled = gevent.event.Event()


@service.on(EmailRequested)
def send(event: EmailRequested, context: Context) -> None:
    print(f"attempt {context.attempt}: {event.text} to {event.recipient}")
    handled.append(event.recipient)
    if len(handled) >= 3:
        all_handled.set()


def main() -> None:
    bus = Bus(source="examples")
    if "--listen" in sys.argv:
        bus.run(service)
        return
    with bus:
        bus.start(service)
        for number in range(3):
            bus.publish(EmailRequested(recipient=f"user{number}@example.org", text="Hello"))
        all_handled.wait(10)


if __name__ == "__main__":
    main()
