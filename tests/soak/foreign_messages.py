"""Messages of the soak that no service of it sent: events that come again, bytes that are none, forged receipts."""

from __future__ import annotations

import http.client

import sqlalchemy as sa

from eventbus.sql.tables import outbox
from tests.soak.world import World


def repeats(world: World, seconds: float) -> bool:
    """Events that come again, in another order, up to five times."""
    rows = world.books.orders.read(
        lambda connection: list(connection.scalars(sa.select(outbox.c.body).order_by(outbox.c.id.desc()).limit(40)))
    )
    bodies = [body for body in rows for _ in range(world.random.randint(1, 5))]
    world.random.shuffle(bodies)
    return _post(world, "soak_placed", bodies) > 0


def garbage(world: World, seconds: float) -> bool:
    """Bytes that are no event, events of other shapes, and heads that claim much."""
    random = world.random
    bodies = [random.randbytes(random.randint(1, 400)) for _ in range(5)]
    head = b'{"specversion":"1.0","id":"x%d","source":"s","type":"Placed","data":'
    bodies += [head % random.getrandbits(60) + tail for tail in (b'{"key":5}}', b"[]}", b'{"key":"' + b"y" * 300 + b'"}}')]
    bodies += [b"\xdf\xff\xff\xff\xff", b"{" * 500]
    return _post(world, "soak_placed", bodies) > 0


def forged_receipts(world: World, seconds: float) -> bool:
    """Receipts of nobody, and of a wrong shape."""
    head = b'{"specversion":"1.0","id":"r%d","source":"s","type":"eventbus.Receipts","data":'
    tails = [
        b'{"topic":"soak_placed","channel":"nobody","since":{"Placed":0},"ids":["a"],"is_all":true}}',
        b'{"topic":"other","channel":"billing","since":{},"ids":[],"is_all":true}}',
        b'{"topic":"soak_placed","channel":"billing","since":"x","ids":5}}',
    ]
    return _post(world, "soak_placed.receipts", [head % world.random.getrandbits(60) + tail for tail in tails]) > 0


def _post(world: World, topic: str, bodies: list[bytes]) -> int:
    sent = 0
    for body in bodies:
        node = world.random.choice(world.nodes)
        connection = http.client.HTTPConnection(node.nsqd.http.host, node.nsqd.http.port, timeout=5.0)
        try:
            connection.request("POST", f"/pub?topic={topic}", body)
            sent += connection.getresponse().status == 200
        except OSError:  # it is down at the moment
            continue
        finally:
            connection.close()
    return sent
