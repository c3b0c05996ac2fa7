"""Supervisor: worker processes started, started again when they crash, replaced when files change, and drained at the end.

It handles no events itself. Workers are fresh processes that patch first, never forks; they end by themselves when the
supervisor is gone.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.subprocess
from gevent.hub import get_hub

from eventbus.cli.fleet import Fleet, FleetApp
from eventbus.cli.session import FAILED, INCOMPATIBLE, INTERRUPTED, NO_BROKER, WRONG_USE
from eventbus.cli.worker import Place, RunOptions
from eventbus.errors import ConfigurationError
from eventbus.observe.logs import configure_logs
from eventbus.serving import WebServer
from eventbus.settings import BusSettings

log = logging.getLogger("eventbus.supervisor")

_FIRST, _CEILING = 0.5, 30.0
"""Seconds before a worker that crashed is started again: doubled each time, up to the ceiling."""
_STEADY = 30.0
"""Seconds after which a worker counts as well, and the next crash as the first."""
_BEYOND_GRACE = 5.0
"""Seconds that a worker gets on top of its grace before it is killed."""
_REFUSALS = {WRONG_USE, NO_BROKER, INCOMPATIBLE}
"""Exit codes that trying again does not mend."""


class _Worker:
    """One place and the process that fills it at the moment."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.socket = str(folder / f"{number}.sock")
        self.process: gevent.subprocess.Popen[bytes] | None = None
        self.began = 0.0
        self.failures = 0  # in a row
        self.crashes = 0
        self.has_run = False
        self.is_wanted = True
        self.is_replaced = False

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal, if there is somebody to get it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


class Supervisor:
    """Keeps `count` workers running; see the module's docstring."""

    def __init__(self, options: RunOptions, count: int, *, reload: bool) -> None:
        configure_logs(format=options.log_format, level=options.log_level)
        self._options = options
        self._count = count
        self._reload = reload
        self._grace = BusSettings.from_environment().grace if options.grace is None else options.grace
        self._workers: list[_Worker] = []
        self._is_stopping = False
        self._code = 0
        self._over = gevent.event.Event()
        self._changed = gevent.event.Event()
        self._parent: tuple[int, int] = (-1, -1)

    def run(self) -> int:
        """Run until told to stop, or until all workers have done what they were to do; return the exit code."""
        watchers: list[Any] = [
            gevent.signal_handler(signal.SIGTERM, self._on_stop, signal.SIGTERM),
            gevent.signal_handler(signal.SIGINT, self._on_stop, signal.SIGINT),
            gevent.signal_handler(signal.SIGHUP, self._on_reload),
        ]
        self._parent = os.pipe()
        with tempfile.TemporaryDirectory(prefix="eventbus-") as folder:
            self._workers = [_Worker(number, Path(folder)) for number in range(1, self._count + 1)]
            server = self._serve(Path(folder))
            watches = [gevent.spawn(self._reload_on_change)] if self._reload else []
            keepers = [gevent.spawn(self._keep, worker) for worker in self._workers]
            try:
                gevent.joinall(keepers)
            finally:
                self._end_all()
                gevent.killall(watches)
                if server is not None:
                    server.stop(1.0)
                for watcher in watchers:
                    watcher.cancel()
                for descriptor in self._parent:
                    os.close(descriptor)
        return self._code

    def _serve(self, folder: Path) -> WebServer | None:
        if self._options.health is None:
            return None
        host, _, port = self._options.health.rpartition(":")
        fleet = Fleet({worker.number: worker.socket for worker in self._workers}, self._crashes)
        server = WebServer(FleetApp(fleet), host=host, port=int(port))
        server.start()
        return server

    def _crashes(self) -> dict[int, int]:
        return {worker.number: worker.crashes for worker in self._workers}

    # -- keeping a worker -------------------------------------------------------------------------------------------

    def _keep(self, worker: _Worker) -> None:
        """Fill a place until it is wanted no more."""
        while worker.is_wanted and not self._is_stopping:
            self._start(worker)
            process = worker.process
            assert process is not None
            code = process.wait()
            lasted = time.monotonic() - worker.began
            if worker.is_replaced:
                worker.is_replaced = False
                continue
            if self._is_stopping:
                self._note(code)
                return
            if code == 0:
                log.info("worker %d has done what it was to do", worker.number)
                return
            if code in _REFUSALS and not worker.has_run:
                self._refused(worker, code)
                if not self._reload:
                    return
                self._changed.wait()
                self._changed.clear()
                continue
            worker.has_run = True
            worker.crashes += 1
            worker.failures = 1 if lasted >= _STEADY else worker.failures + 1
            pause = min(_FIRST * 2.0 ** (worker.failures - 1), _CEILING) * random.uniform(0.8, 1.2)
            log.error(
                "worker %d ended with %s after %.1f s; started again in %.1f s", worker.number, _word(code), lasted, pause
            )
            self._over.wait(pause)

    def _refused(self, worker: _Worker, code: int) -> None:
        if self._reload:
            log.error("worker %d cannot start (exit code %d); waiting for a change", worker.number, code)
            return
        self._code = code
        if not self._is_stopping:
            log.error("worker %d cannot start (exit code %d); it says why above", worker.number, code)
            self._stop()

    def _note(self, code: int) -> None:
        if code != 0 and self._code == 0:
            self._code = FAILED

    def _start(self, worker: _Worker) -> None:
        place = Place(worker.number, worker.socket, self._parent[0])
        worker.began = time.monotonic()
        # a session of its own: Ctrl-C reaches the supervisor alone, which passes it on once
        worker.process = gevent.subprocess.Popen(
            [sys.executable, "-m", "eventbus.cli", *sys.argv[1:]],
            env={**os.environ, **place.to_environment()},
            pass_fds=(self._parent[0],),
            start_new_session=True,
        )
        log.info("worker %d runs as process %d", worker.number, worker.process.pid)
        gevent.spawn(self._note_that_it_runs, worker, worker.process)

    def _note_that_it_runs(self, worker: _Worker, process: Any) -> None:
        while process.poll() is None:
            if Path(worker.socket).exists():
                worker.has_run = True
                return
            gevent.sleep(0.1)

    # -- signals and changes ----------------------------------------------------------------------------------------

    def _on_stop(self, number: int) -> None:
        if self._is_stopping:
            log.warning("stopped at once by a second signal")
            self._code = INTERRUPTED
            for worker in self._workers:
                worker.send(signal.SIGKILL)
            return
        log.info("stopping the workers: %s", signal.Signals(number).name)
        self._stop()

    def _stop(self) -> None:
        self._is_stopping = True
        self._over.set()
        self._changed.set()
        for worker in self._workers:
            worker.is_wanted = False
            gevent.spawn(self._end, worker)

    def _end(self, worker: _Worker) -> None:
        """Ask a worker to drain, and kill it where it does not."""
        process = worker.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=self._grace + _BEYOND_GRACE)
        except subprocess.TimeoutExpired:
            log.error(
                "worker %d did not end %g s after its grace of %g s; killed", worker.number, _BEYOND_GRACE, self._grace
            )
            process.kill()

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.send(signal.SIGKILL)
            if worker.process is not None:
                worker.process.wait()

    def _on_reload(self) -> None:
        gevent.spawn(self._replace_all, "SIGHUP")

    def _replace_all(self, why: str) -> None:
        """Replace the workers one after the other, so that some always run."""
        log.info("starting the workers anew: %s", why)
        self._changed.set()
        for worker in self._workers:
            if self._is_stopping:
                return
            if worker.is_alive:
                worker.is_replaced = True
                worker.has_run = False
                self._end(worker)
        self._changed.clear()

    def _reload_on_change(self) -> None:
        try:
            from watchfiles import PythonFilter, watch
        except ImportError:
            raise ConfigurationError("--reload needs an extra: pip install 'eventbus[cli]'") from None
        folder = self._options.app_dir or Path.cwd()
        log.info("watching the Python files in %s", folder)
        # a thread of the pool waits for the files; the hub goes on
        changes = watch(folder, watch_filter=PythonFilter(), raise_interrupt=False, yield_on_timeout=True, rust_timeout=300)
        pool = get_hub().threadpool
        while not self._is_stopping:
            found = pool.apply(next, (changes, None))
            if found is None:
                return
            if found:
                names = sorted({Path(path).name for _, path in found})
                self._replace_all(f"{', '.join(names[:3])}{' and more' if len(names) > 3 else ''} changed")


def _word(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
