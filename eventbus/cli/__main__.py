"""Entry point of the command `eventbus`: patch the standard library first, load everything else after.

What is loaded stays: to look meanwhile whether any of it is garbage takes a fifth of the start. The collector begins with
the command itself (`app.py`), and leaves alone what was loaded, also in the workers that are forked.
"""

import gc

gc.disable()

from gevent import monkey  # noqa: E402

monkey.patch_all()

import os  # noqa: E402
import sys  # noqa: E402 - nothing may be imported before the patching


def main() -> None:
    """Run the command line."""
    try:
        from eventbus.cli.app import app
    except ImportError as error:
        if error.name in ("typer", "rich"):
            sys.exit("the command line needs its extra: pip install 'eventbus[cli]'")
        raise
    try:
        app()
    finally:
        _flush()


def _flush() -> None:
    """Write out what is left; a reader that went away, as `| head` does, is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
