"""A small HTTP server that starts and stops with a bus, and the health endpoints of a service."""

from eventbus.serving.health import HealthApp, failed_checks
from eventbus.serving.web_server import WebServer

__all__ = ["HealthApp", "WebServer", "failed_checks"]
