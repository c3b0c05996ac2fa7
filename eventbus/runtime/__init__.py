"""What every part stands on and none owns: clock, randomness, failpoints, redaction, tracebacks."""
