"""Errors and verdicts: what can go wrong, and what a handler may decide.

Every error is an `EventBusError` and says what was wrong, where, and what to do::

    EventBusError
      ConfigurationError        a mistake in the program or its settings; found before any event flows
        InvalidNameError        a topic or channel name that NSQ would refuse
        EventDefinitionError    an event class that cannot be published or read
        HandlerDefinitionError  a handler that does not fit the event it is bound to
        UnknownEngineError      a bus URL whose scheme no engine serves
        ContractError           a contract that cannot be read, made or kept
          MisfitError           data that do not fit their contract
      EncodeError               an event that cannot be turned into bytes
        MessageTooLargeError    ... because its bytes pass the limit
      DecodeError               bytes that are no event (the library raises nothing else for bad bytes)
      PublishError              the engine did not confirm a publish
        Rejected                refused; publishing the same again is refused again
        NotSent                 nothing left this process; safe to publish again
        OutcomeUnknown          sent, but not answered; publish the same event object again
      BrokerUnreachableError    no broker answers at the addresses given
      DatabaseUnreachableError  the database of an outbox or inbox does not answer
      BusStateError             publish on a closed bus, a service started twice
      HandlerTimeoutError       a handler ran past its time limit and was interrupted
      HandlerResultError        a handler returned something that is no event
      ReplayError               a dead letter that cannot be replayed
      InboxUnavailableError     an inbox could not claim or commit an event; says nothing about the event

The three kinds of `PublishError` carry the names of the outcomes they tell apart, not the suffix.

Verdicts are no errors: a handler raises `Reject` or `RetryLater` to decide what becomes of a delivery, and neither is
logged as a failure.
"""

from __future__ import annotations


class EventBusError(Exception):
    """Root of everything this library raises."""


class ConfigurationError(EventBusError):
    """Raised when the program or its settings are wrong, before any event flows."""


class TablesNotReadyError(ConfigurationError):
    """Raised when the library's own tables are missing in a database, or older; says which command makes them."""


class InvalidNameError(ConfigurationError):
    """Raised when a topic or channel name breaks NSQ's rule."""


class EventDefinitionError(ConfigurationError):
    """Raised when an event class cannot work: no topic, or a field that does not survive the wire."""


class HandlerDefinitionError(ConfigurationError):
    """Raised when a handler does not fit the event it is bound to, or an event is bound twice."""


class UnknownEngineError(ConfigurationError):
    """Raised when no engine serves the scheme of a bus URL."""


class ContractError(ConfigurationError):
    """Raised when a contract cannot be read or made, or when an event or a view does not keep one."""


class MisfitError(ContractError):
    """Raised when the data of an event do not fit its contract; names the field."""


class BrokerUnreachableError(EventBusError):
    """Raised when no broker answers at the addresses of the bus."""


class DatabaseUnreachableError(EventBusError):
    """Raised when the database of an outbox or inbox does not answer; says which and why."""


class EncodeError(EventBusError):
    """Raised when an event cannot be turned into bytes."""

    def __init__(self, message: str, *, event_name: str) -> None:
        super().__init__(message)
        self.event_name = event_name


class MessageTooLargeError(EncodeError):
    """Raised before anything is sent when an encoded event passes the limit in bytes."""

    def __init__(self, *, event_name: str, size: int, limit: int) -> None:
        super().__init__(
            f"{event_name} is {size:,} bytes long and the limit is {limit:,}; send a reference to the large part instead",
            event_name=event_name,
        )
        self.size = size
        self.limit = limit


class DecodeError(EventBusError):
    """Raised when bytes from the wire are no valid event; carries the bytes."""

    def __init__(self, reason: str, *, body: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.body = body


class PublishError(EventBusError):
    """Raised when the engine did not confirm a publish; one of its three subclasses says how far it came."""


class Rejected(PublishError):  # noqa: N818 - named after the outcome, as its siblings
    """Raised when the engine refused the message; the same message would be refused again."""


class NotSent(PublishError):  # noqa: N818
    """Raised when nothing left this process (no connection, no room in time); publishing again is safe."""


class OutcomeUnknown(PublishError):  # noqa: N818
    """Raised when the message was sent but not answered in time; it may or may not arrive.

    Publish the same event object again: it keeps its id, so that an inbox removes the double.
    """


class BusStateError(EventBusError):
    """Raised when a call does not fit the state of the bus: closed, not started, or started twice."""


class HandlerTimeoutError(EventBusError):
    """Recorded when a handler ran longer than its `timeout` in seconds and was interrupted."""


class HandlerResultError(EventBusError):
    """Raised when a handler returned something that is neither None nor an event nor a list or tuple of events."""


class ReplayError(EventBusError):
    """Raised when a dead letter cannot be replayed because its bytes are no envelope."""


class InboxUnavailableError(EventBusError):
    """Raised when an inbox could not claim an event or commit its effect, because its database is away or busy.

    It says nothing about the event: the delivery comes again and costs no attempt, and its channel waits `after` seconds.
    """

    def __init__(self, message: str, *, after: float) -> None:
        super().__init__(message)
        self.after = after


class Verdict(Exception):  # noqa: N818 - no error, but a decision
    """A decision that a handler raises about its delivery."""


class Reject(Verdict):
    """Park the delivery as a dead letter at once: trying again would not help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryLater(Verdict):
    """Deliver again after `after` seconds, 400 days at most; counts as an attempt, but is no failure."""

    def __init__(self, *, after: float) -> None:
        if not 0 <= after < float("inf"):
            raise ValueError(f"RetryLater(after={after!r}): after is a number of seconds, 0 or more")
        super().__init__(f"retry after {after:g} s")
        self.after = after
