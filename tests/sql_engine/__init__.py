"""The SQL engine beyond the suite that all engines pass: its files, its faults, and what survives them."""
