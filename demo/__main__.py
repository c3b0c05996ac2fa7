"""Entry point of `python -m demo`: patch the standard library first, load everything else after."""

from gevent import monkey

monkey.patch_all()

import typer  # noqa: E402 - nothing may be imported before the patching

from demo.command import demo  # noqa: E402

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    app()
