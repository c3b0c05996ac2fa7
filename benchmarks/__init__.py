"""Benchmarks: ours beside peers and limits, in one run. `make bench`."""
