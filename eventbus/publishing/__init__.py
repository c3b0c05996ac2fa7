"""From an event to bytes that the engine has confirmed."""
