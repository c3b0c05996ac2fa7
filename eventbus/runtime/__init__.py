"""What every part stands on and none owns: time, chance, failpoints, texts that are safe to show."""
