"""Journal: what was published and what became of it, kept in a database to be searched long after.

`Recorder` writes batches, each event once, with what services tell of deliveries (`eventbus.outcomes`). Events come from a
channel of the journal's own on each topic; where the bus keeps a log in the same database, the journal is an index of that
log and copies nothing. `open_reading` finds events and chains in it, for commands and for a page.
"""

from eventbus.journal.reading import Chain, Logged, Reading, Use, Uses, open_reading

__all__ = ["Chain", "Logged", "Reading", "Use", "Uses", "open_reading"]
