"""Outcomes: services tell what becomes of deliveries and of outbox rows, for a page and a journal that know none of them.

Who wants to know says so (`listening`), and only then does anybody tell (`telling`): batches of records go to the topic
`eventbus.outcomes#ephemeral`, which vanishes with its last listener. A record (`record`) holds names, ids and times, and
neither data of an event nor a text that quotes any.
"""

from eventbus.outcomes.batch import Batch, read_batch, write_batch
from eventbus.outcomes.listening import Listening, listen
from eventbus.outcomes.record import TOPIC, Record
from eventbus.outcomes.telling import Telling

__all__ = ["TOPIC", "Batch", "Listening", "Record", "Telling", "listen", "read_batch", "write_batch"]
