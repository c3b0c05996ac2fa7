"""The version, alone, so that the build can read it and the engines can name it."""

__version__ = "0.1.0"
