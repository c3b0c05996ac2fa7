"""A small HTTP server that starts and stops with a bus, and the health endpoints of a service."""

from eventbus.serving.bounded_server import BoundedServer
from eventbus.serving.health import HealthApp, failed_checks
from eventbus.serving.http_limits import HttpLimits
from eventbus.serving.web_server import WebServer

__all__ = ["BoundedServer", "HealthApp", "HttpLimits", "WebServer", "failed_checks"]
