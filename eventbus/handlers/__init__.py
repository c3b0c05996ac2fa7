"""From a function to a handler that is bound to an event: does it fit, and under which policy does it run?"""
