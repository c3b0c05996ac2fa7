"""Step 1, the producer: publish typed events to a topic.

    python examples/publish.py            # EVENTBUS_URL, or inside this process

Nobody has to listen: a topic without channels keeps its events for the first one.
"""

from eventbus import Bus, Event


class EmailRequested(Event, topic="email"):
    """Somebody is to get a mail."""

    recipient: str
    text: str


def main() -> None:
    with Bus(source="examples") as bus:
        for number in range(3):
            event_id = bus.publish(EmailRequested(recipient=f"user{number}@example.org", text="Hello"))
            print(f"confirmed {event_id}")


if __name__ == "__main__":
    main()
