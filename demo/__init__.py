"""The order-processing scenario as a program: `eventbus demo`."""
