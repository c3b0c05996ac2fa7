"""The order scenario as a program of the checkout: `make demo`, or `python -m demo`."""
