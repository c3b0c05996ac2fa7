"""Page server: serves the page beside a bus, and starts and stops with it."""

from __future__ import annotations

from typing import Any

from eventbus.dead_letters.sight import Sight
from eventbus.errors import EventBusError
from eventbus.outcomes import listen
from eventbus.page.access import Access
from eventbus.page.acting import Acting
from eventbus.page.activity import Activity, activity_of
from eventbus.page.answers import Answers
from eventbus.page.app import make_app
from eventbus.page.chains import Chains
from eventbus.page.recent import Recent
from eventbus.page.sources import Sources
from eventbus.page.watch import Watch
from eventbus.runtime.guarded_log import guarded_log
from eventbus.serving import HttpLimits, WebServer

log = guarded_log("eventbus.page")

_LIMITS = HttpLimits(connections=200, answer=24 * 3600.0)
"""A stream of looks is one answer that goes on."""


class PageServer:
    """Serves the page: `bus.attach(PageServer(Sources(bus)))`, or `start` and `stop` by hand.

    Args:
        host: address to listen on; another one than the loopback needs a token.
        port: TCP port; 0 takes a free one, which `url` then names.
        names: names of this machine in the DNS by which browsers may call the page; its addresses always do.
        interval: seconds between two looks at the bus.

    Raises:
        ConfigurationError: the page would be open to others, or, at start, the port is taken.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        access: Access | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        names: tuple[str, ...] = (),
        interval: float = 1.0,
    ) -> None:
        access = access or Access()
        access.check_host(host)
        self._bus = sources.bus
        self._recent = Recent()
        self._watch = Watch(sources.bus.engine.stats, self._activity, interval=interval)
        answers = Answers(sources, Sight(with_personal=access.shows_bodies).texts, self._recent.versions)
        about = sources.about or f"{sources.bus.engine.scheme}://"
        self._acting = Acting(sources.bus)
        app = make_app(about, access, self._watch, answers, Chains(self._recent, sources.journal), self._acting)
        self._server = WebServer(app, host=host, port=port, limits=_LIMITS, hosts=names)
        self._listening: Any = None

    def __repr__(self) -> str:
        return f"<PageServer on {self._server.host}:{self._server.port}>"

    def _activity(self) -> Activity:
        return activity_of(*self._recent.lately(), self._recent.publishers)

    @property
    def url(self) -> str:
        """Where it is reached, with a slash at the end."""
        return f"{self._server.url}/"

    def start(self, bus: object = None) -> None:
        """Listen, for browsers and for what services tell."""
        self._server.start()
        try:
            self._listening = listen(self._bus, self._recent.take, name="page")
        except EventBusError as error:  # the flow can be seen without
            log.warning("nobody tells this page of deliveries: %s", error)

    def stop_intake(self) -> None:
        """Take no more viewers, and let go of those that are there."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._watch.close()
        self._acting.close()
        self._server.stop_intake()

    def stop(self, timeout: float) -> None:
        """Stop at once or in `timeout` seconds at most."""
        self._server.stop(timeout)

    def abandon(self) -> None:
        """In a forked child: the page is the parent's."""
        self._server.abandon()

    def is_idle(self) -> bool:
        """A page waits for viewers, and keeps nobody from resting."""
        return True
