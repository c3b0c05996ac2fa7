"""Dead letters: park what a handler cannot process; list, replay and discard what is parked.

Dead letters of topic `orders_placed` on channel `fulfillment` lie on the topic `orders_placed.fulfillment.dead`, channel
`parked`, so that NSQ's own tools show them. Each carries the original bytes, untouched, and why it is there. A replay
publishes to the original topic with `replayfor` set, which every other channel finishes unread.
"""

from eventbus.dead_letters.bounds import MaxDead
from eventbus.dead_letters.letter import DeadLetter, read_letter
from eventbus.dead_letters.mending import DeadLetters

__all__ = ["DeadLetter", "DeadLetters", "MaxDead", "read_letter"]
