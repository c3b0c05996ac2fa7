"""Addresses: `host:port` as people write them, IPv6 in brackets included."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, NamedTuple

from eventbus.errors import ConfigurationError


class Address(NamedTuple):
    """Where a server listens; prints as it is written."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, *, default_port: int) -> Address:
    """Return the address in `text`: `host`, `host:port`, `[::1]` or `[::1]:port`.

    Raises:
        ConfigurationError: when it is none.
    """
    host, port = text.strip(), ""
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ConfigurationError(f"address {text!r}: write an IPv6 address as [::1]:{default_port}")
        port = rest[1:]
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    elif ":" in host:
        raise ConfigurationError(f"address {text!r}: write an IPv6 address as [{host}]:{default_port}")
    if not host or any(character.isspace() for character in host):
        raise ConfigurationError(f"address {text!r}: give host:port, such as 127.0.0.1:{default_port}")
    if not port:
        return Address(host, default_port)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"address {text!r}: the port {port!r} is no number from 1 to 65535")
    return Address(host, int(port))


def parse_addresses(text: str, *, default_port: int) -> tuple[Address, ...]:
    """Return the addresses in a comma-separated list, each once."""
    parts = [part for part in text.split(",") if part.strip()]
    return tuple(dict.fromkeys(parse_address(part, default_port=default_port) for part in parts))


def peer_of(name: Any) -> tuple[str, int]:
    """Return who is at the other end of a socket, from its peer name: one name for all of this machine's loopback."""
    ip, port = ip_address(name[0].partition("%")[0]), name[1]
    mapped = getattr(ip, "ipv4_mapped", None)
    return ("loopback" if (mapped or ip).is_loopback else str(mapped or ip), port)
