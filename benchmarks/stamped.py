"""The event of the way from commit to handler."""

from eventbus import Event


class Stamped(Event, topic="bench_stamped"):
    number: int
