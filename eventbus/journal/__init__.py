"""Journal: what was published and what became of it, kept in a database to be searched long after.

`open_reading` finds events and chains in it, for commands and for a page.
"""

from eventbus.journal.reading import Chain, Logged, Reading, open_reading

__all__ = ["Chain", "Logged", "Reading", "open_reading"]
