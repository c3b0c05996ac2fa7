"""From a delivery to its answer: `dispatcher.py` tells the whole way in ten lines; `bus.py` alone comes in here."""
