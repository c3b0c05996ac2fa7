"""The command `eventbus`. Importing this package does nothing; `__main__` patches first and then loads the commands."""
