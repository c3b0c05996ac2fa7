"""Identity: what we tell nsqd of ourselves and wish for, in IDENTIFY."""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Collection
from typing import Any

from eventbus.engines.nsq.options import MOST_CLIENT_ID, NsqOptions
from eventbus.version import __version__

_OUTPUT_BUFFER = 32 * 1024
_OUTPUT_TIMEOUT_MS = 25  # nsqd refuses less
NSQD_HEARTBEAT = 30.0
"""Seconds between heartbeats where we do not wish for another pace."""
WISHES = {
    "output buffer size": "output_buffer_size",
    "output buffer timeout": "output_buffer_timeout",
    "msg timeout": "msg_timeout",
    "heartbeat": "heartbeat_interval",
}
"""Wishes in IDENTIFY that an nsqd with other limits refuses, by its words for them: it is asked again without."""


def identity(
    options: NsqOptions, message_timeout: float | None, *, client: str = "", without: Collection[str] = ()
) -> dict[str, Any]:
    """Return the fields of IDENTIFY.

    Args:
        message_timeout: seconds; None for a connection that does not subscribe.
        client: who connects, where the options name nobody; the host unless given.
        without: fields that this nsqd refused.
    """
    host = stdlib_socket.gethostname()
    fields: dict[str, Any] = {
        "client_id": options.client_id or client[:MOST_CLIENT_ID] or host.split(".")[0],
        "hostname": host,
        "user_agent": f"eventbus/{__version__}",
        "feature_negotiation": True,
        "heartbeat_interval": int(options.heartbeat * 1000),
        "output_buffer_size": _OUTPUT_BUFFER,
        "output_buffer_timeout": _OUTPUT_TIMEOUT_MS,
        "tls_v1": options.tls,
        "snappy": options.compression == "snappy",
        "deflate": options.compression == "deflate",
        "deflate_level": options.deflate_level,
    }
    if message_timeout is not None:
        fields["msg_timeout"] = int(message_timeout * 1000)
        fields["sample_rate"] = options.sample_rate
    if options.region:
        fields["topology_region"] = options.region
    if options.zone:
        fields["topology_zone"] = options.zone
    return {field: value for field, value in fields.items() if field not in without}
