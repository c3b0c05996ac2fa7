"""The SQL engine: one SQLite file or a PostgreSQL database carries the bus, with no broker to run.

An append-only log of messages by topic. A channel is a position in it and a table of exceptions; a run of the log is leased
to one subscriber at a time. What all channels have finished stays for `retain`, to be replayed.
"""
