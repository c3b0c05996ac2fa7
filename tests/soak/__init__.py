"""An outside run: services as processes, faults from outside, and a ledger at the end: `make soak MINUTES=30`."""
