"""A process that has loaded the libraries, and forks for each program: `forking.py LINK`, the descriptor of a socket.

A request is one message: module, arguments, folder and environment as JSON, and the descriptors of stdin, stdout and stderr;
the answer is the process id. A request with the id of such a process alone is answered with how it ended, and with nothing
while it runs, unless it should be waited for. What is forked runs `python -m MODULE` as a new interpreter would: from the
beginning of its `__main__`, to the end of the interpreter. It loads the modules of a command itself.
"""

from __future__ import annotations

import gc

gc.disable()

from gevent import monkey  # noqa: E402

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import runpy  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from eventbus.runtime import failpoints  # noqa: E402

LOADED = (
    "eventbus.cli.app",
    "eventbus.contracts",
    "eventbus.doctor",
    "eventbus.engines.nsq.engine",
    "eventbus.observe",
    "eventbus.sql",
    "jinja2",
    "jsonschema",
    "opentelemetry.sdk.trace",
    "psycopg",
    "rich.progress",
    "rstr",
    "typer.rich_utils",
)
MOST = 1 << 20
"""Longest request in bytes."""


def serve(link: Any) -> str:
    """Fork for each request, and return the module to run in what is forked; end with the other end of the link."""
    fork, waitpid = monkey.get_original("os", ["fork", "waitpid"])
    while True:
        text, streams, _, _ = socket.recv_fds(link, MOST, 3)
        if not text:
            sys.exit()
        request = json.loads(text)
        if "ended" in request:
            process, status = waitpid(request["ended"], 0 if request["waits"] else os.WNOHANG)
            link.send(str(os.waitstatus_to_exitcode(status) if process else None).encode())
            continue
        process = fork()
        if not process:
            link.close()
            return become(streams, **request)
        for stream in streams:
            os.close(stream)
        link.send(str(process).encode())


def become(streams: list[int], module: str, arguments: list[str], folder: str, environment: dict[str, str]) -> str:
    """Make this process what a new one would be; return the module that it runs."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    sys.argv[1:] = arguments
    failpoints.read_failpoints(os.environ.get(failpoints.VARIABLE, ""))  # as when the library is loaded
    return module


if __name__ == "__main__":
    for module in LOADED:
        import_module(module)
    gevent.get_hub().destroy(destroy_loop=True)  # a library makes one when it is loaded; to each process its own
    gc.freeze()
    [plain_socket] = monkey.get_original("socket", ["socket"])
    runpy.run_module(serve(plain_socket(fileno=int(sys.argv[1]))), run_name="__main__", alter_sys=True)
