"""Loopback: whether a host is this machine itself, so that nobody can listen or change anything on the way."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether what is sent to a host never leaves this machine: by its number, or by the one name that is reserved for it
    (RFC 6761, section 6.3)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
