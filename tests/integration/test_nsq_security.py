"""TLS, authentication and compression against real nsqd; faults 24, 31 and 32 of gnsq."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random, randrange
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
from gevent.pywsgi import WSGIServer

from eventbus import Bus, ConfigurationError, NotSent
from eventbus.engines.nsq.engine import open_nsq
from eventbus.engines.nsq.inspection import inspect
from eventbus.engines.nsq.layers import DeflateLayer, Layer, SnappyLayer
from eventbus.errors import EventBusError
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from tests.nsqd import Nsqd, Nsqlookupd, free_port
from tests.peers import Proxy, ScriptedNsqd, frame
from tests.waiting import PATIENCE, eventually, fails_until_it_says

Ends = Callable[[Any], Any]
MakeBus = Callable[..., Bus]


class Certificates:
    """A certificate authority of the test, and files for server and client."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.server = self._write(folder / "server.pem", *names)
        self.client = self._write(folder / "client.pem", "client")

    def _write(self, path: Path, *names: str) -> Path:
        self.authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(path))
        return path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, "127.0.0.1", "localhost")


def tls_nsqd(ends: Ends, certificates: Certificates, *options: str, required: str = "tcp-https") -> Nsqd:
    found: Nsqd = ends(
        Nsqd(
            f"-tls-cert={certificates.server}",
            f"-tls-key={certificates.server}",
            f"-https-address=127.0.0.1:{free_port()}",
            f"-tls-required={required}",
            *options,
        )
    )
    return found


def round_trip(bus: Bus, count: int = 200) -> None:
    """Publish and handle over the bus's own connections."""
    kind, seen = numbered(), Seen()
    bus.start(listener(kind, seen))
    for number in range(3):
        bus.publish(kind(number=number, text="é" * 3000))
    publish_numbers(bus, kind, range(3, count))
    eventually(lambda: sorted(seen.numbers) == list(range(count)))


@pytest.mark.parametrize("compression", ["none", "deflate", "snappy"])
def test_tls_with_a_trusted_certificate_carries_everything(
    ends: Ends, make_bus: MakeBus, certificates: Certificates, compression: str
) -> None:
    """24: producers over TLS and compression, which gnsq cannot start."""
    nsqd = tls_nsqd(ends, certificates, "-tls-min-version=tls1.2")
    round_trip(make_bus(f"nsq+direct://{nsqd.tcp}", query=f"tls=true&tls_ca={certificates.ca}&compression={compression}"))


def test_a_process_without_patches_has_statistics_by_https(ends: Ends, certificates: Certificates) -> None:
    nsqd = tls_nsqd(ends, certificates, required="true")
    program = """
import sys
from eventbus import Bus, Event

class Placed(Event, topic="placed"):
    number: int

with Bus(sys.argv[1]) as bus:
    bus.publish(Placed(number=1))
    print(bus.engine.stats()["placed"].messages)
"""
    url = f"nsq+direct://{nsqd.tcp}?tls=true&tls_ca={certificates.ca}"
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    (view,) = inspect(ends(open_nsq(url))).nodes
    assert (view.tcp_error, view.http_error) == ("", "")


HANDSHAKES = int(os.environ.get("HANDSHAKES", "25"))
"""Of each kind; 200 by hand."""


@pytest.mark.parametrize(
    ("compression", "is_encrypted"),
    [("deflate", False), ("snappy", False), ("none", True), ("deflate", True), ("snappy", True)],
)
def test_every_handshake_succeeds_however_the_stream_is_cut(
    ends: Ends, certificates: Certificates, compression: str, is_encrypted: bool
) -> None:
    nsqd = tls_nsqd(ends, certificates) if is_encrypted else ends(Nsqd())
    proxy = ends(Proxy(nsqd.tcp))
    seed = randrange(2**32)
    proxy.segments = Random(seed)
    query = f"tls=true&tls_ca={certificates.ca}&" if is_encrypted else ""
    failed: list[str] = []
    for number in range(HANDSHAKES):
        engine = open_nsq(f"{proxy.url}?{query}compression={compression}")
        try:
            engine.publish("t", b"%d" % number, delay=0.0, timeout=PATIENCE)
        except EventBusError as error:
            failed.append(str(error))
        finally:
            engine.close()
    assert failed == [], f"seed {seed}"
    assert proxy.connections == HANDSHAKES, "none was tried twice"
    assert nsqd.get("/stats", format="json")["topics"][0]["message_count"] == HANDSHAKES


@pytest.mark.parametrize("compression", ["deflate", "snappy"])
def test_compression_without_tls(nsqd: Nsqd, make_bus: MakeBus, compression: str) -> None:
    round_trip(make_bus(nsqd.url, query=f"compression={compression}"), count=2000)


@pytest.mark.parametrize("compression", ["deflate", "snappy"])
def test_what_nsqd_compresses_may_come_in_the_same_read_as_its_answer_in_the_clear(ends: Ends, compression: str) -> None:
    """Left to chance, a busy machine loses connections to it."""
    layer: Layer = SnappyLayer() if compression == "snappy" else DeflateLayer(6)

    def identify(socket: Any) -> None:
        granted = {"max_rdy_count": 2500, "msg_timeout": 60000, "version": "scripted", compression: True}
        socket.sendall(frame(0, json.dumps(granted).encode()) + layer.encode(frame(0, b"OK")))
        got = b""
        while b"PUB t\n" not in got:
            got += layer.decode(socket.recv(65536))
        socket.sendall(layer.encode(frame(0, b"OK")))

    peer = ends(ScriptedNsqd(identify=identify))
    engine = ends(open_nsq(f"{peer.url}?compression={compression}"))
    engine.publish("t", b"x", delay=0.0, timeout=PATIENCE)
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("names", "query", "said"),
    [
        (("127.0.0.1",), "", "CERTIFICATE_VERIFY_FAILED"),
        (("elsewhere.example",), "&tls_ca={ca}", "IP address mismatch|Hostname mismatch"),
    ],
    ids=["authority that is not trusted", "certificate of another host"],
)
def test_a_certificate_that_does_not_prove_the_host_is_refused(
    ends: Ends, tmp_path: Path, names: tuple[str, ...], query: str, said: str
) -> None:
    """32: chain and host name are checked by default."""
    certificates = Certificates(tmp_path, *names)
    nsqd = tls_nsqd(ends, certificates)
    engine = ends(open_nsq(f"nsq+direct://{nsqd.tcp}?tls=true{query.format(ca=certificates.ca)}"))
    fails_until_it_says(lambda: engine.publish("t", b"x", delay=0.0, timeout=1.5), said, NotSent)


def test_another_server_name_and_no_check_at_all_are_choices(ends: Ends, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, "nsqd.example")
    nsqd = tls_nsqd(ends, certificates)
    for query in (f"tls_ca={certificates.ca}&tls_server_name=nsqd.example", "tls_verify=false"):
        ends(open_nsq(f"nsq+direct://{nsqd.tcp}?tls=true&{query}")).publish("t", b"x", delay=0.0, timeout=PATIENCE)


def test_client_certificates(ends: Ends, make_bus: MakeBus, certificates: Certificates) -> None:
    nsqd = tls_nsqd(ends, certificates, "-tls-client-auth-policy=require-verify", f"-tls-root-ca-file={certificates.ca}")
    base = f"nsq+direct://{nsqd.tcp}?tls=true&tls_ca={certificates.ca}"
    with pytest.raises(NotSent):
        ends(open_nsq(base)).publish("t", b"x", delay=0.0, timeout=1.5)
    round_trip(make_bus(f"{base}&tls_cert={certificates.client}&tls_key={certificates.client}"))


def test_nsqlookupd_is_asked_by_https_alone(
    ends: Ends, make_bus: MakeBus, lookupd: Nsqlookupd, certificates: Certificates, tmp_path: Path
) -> None:
    """It speaks none itself; a proxy does."""
    ends(Nsqd(lookupds=(lookupd,)))
    proxy, plain = ends(Proxy(lookupd.http, certificates.server)), ends(Proxy(lookupd.http))
    url, query = f"nsq://{proxy.address}", f"lookup_https=true&tls_ca={certificates.ca}"
    round_trip(make_bus(url, query=query))
    (tmp_path / "stranger").mkdir()
    stranger = Certificates(tmp_path / "stranger", "127.0.0.1")
    for address, ca, said in (
        (proxy.address, stranger.ca, "CERTIFICATE_VERIFY_FAILED"),
        (plain.address, certificates.ca, "WRONG_VERSION_NUMBER|wrong version number|record layer failure"),
    ):
        engine = ends(open_nsq(f"nsq://{address}?lookup_https=true&tls_ca={ca}"))
        (view,) = inspect(engine).lookupds
        assert re.search(said, view.error), view.error
        with pytest.raises(NotSent):
            engine.publish("t", b"x", delay=0.0, timeout=1.0)
    (view,) = inspect(ends(open_nsq(f"{url}?{query}"))).lookupds
    assert (view.error, len(view.nodes)) == ("", 1)


def test_a_downgrade_is_refused_before_any_secret_is_sent(ends: Ends) -> None:
    """31: a peer that grants no TLS and asks for the secret."""
    peer = ends(ScriptedNsqd(lambda peer, socket: peer.read_line(socket), tls_v1=False, auth_required=True))
    engine = ends(open_nsq(f"{peer.url}?tls=true&auth_secret=hunter2&connect_timeout=0.5"))
    error = fails_until_it_says(lambda: engine.publish("t", b"x", delay=0.0, timeout=0.7), "offers no TLS", NotSent)
    assert peer.received == []
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "query", ["tls_ca=/no/such/file", "tls_ca={junk}", "tls_cert=/no/cert&tls_key=/no/key", "tls_cert={cert}&tls_key={key}"]
)
def test_files_that_cannot_be_used_are_named_when_the_bus_is_made(
    query: str, certificates: Certificates, tmp_path: Path
) -> None:
    """A key with a password is refused too, and nobody is asked for it: on a terminal the whole hub would wait."""
    (tmp_path / "junk").write_text("no pem")
    key = trustme.CA().issue_cert("client").private_key_pem
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    sealed = load_pem_private_key(key.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (tmp_path / "key").write_bytes(sealed)
    files = query.format(junk=tmp_path / "junk", cert=certificates.client, key=tmp_path / "key")
    with pytest.raises(ConfigurationError, match="tls_key .* is encrypted" if "{key}" in query else files.partition("=")[0]):
        Bus(f"nsq+direct://127.0.0.1:9?tls=true&{files}")


@pytest.fixture
def auth_server(ends: Ends) -> WSGIServer:
    """A real auth server: `good` may do everything, `reader` may subscribe, everybody else nothing."""

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        secret = parse_qs(environ["QUERY_STRING"]).get("secret", [""])[0]
        allowed = {"good": ["publish", "subscribe"], "reader": ["subscribe"]}.get(secret, [])
        start_response("200 OK", [("Content-Type", "application/json")])
        grants = [{"topic": ".*", "channels": [".*"], "permissions": allowed}] if allowed else []
        return [json.dumps({"ttl": 60, "identity": secret, "authorizations": grants}).encode()]

    server = WSGIServer(("127.0.0.1", 0), answer, log=None)
    server.start()
    ends(type("Server", (), {"end": lambda self: server.stop(timeout=0.1)})())
    return server


def test_authentication(ends: Ends, make_bus: MakeBus, auth_server: WSGIServer, caplog: pytest.LogCaptureFixture) -> None:
    nsqd = ends(Nsqd(f"-auth-http-address=127.0.0.1:{auth_server.server_port}"))
    round_trip(make_bus(nsqd.url, query="auth_secret=good"))
    for query, said in (
        ("", "asks for authentication; give auth_secret"),
        ("auth_secret=wrong", "E_UNAUTHORIZED|E_AUTH_FAILED"),
        ("auth_secret=reader", "E_UNAUTHORIZED"),
    ):
        engine = ends(open_nsq(f"nsq+direct://{nsqd.tcp}?{query}"))
        fails_until_it_says(partial(engine.publish, "t", b"x", delay=0.0, timeout=1.0), said)
    for secret in ("good", "wrong", "reader"):
        assert f"={secret}" not in caplog.text


def test_compression_that_nsqd_does_not_offer_is_refused(ends: Ends) -> None:
    nsqd = ends(Nsqd("-snappy=false"))
    engine = ends(open_nsq(f"nsq+direct://{nsqd.tcp}?compression=snappy"))
    fails_until_it_says(lambda: engine.publish("t", b"x", delay=0.0, timeout=0.7), "offers no snappy", NotSent)
