"""One suite for every engine: what the bus promises, asked of each."""
