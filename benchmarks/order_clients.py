"""Clients of the orders API, in a process of their own: `python -m benchmarks.order_clients URL ORDERS CLIENTS RATE`.

Prints one JSON object: accepted orders a second, and the answer times in seconds. RATE is orders a second in all, 0 for as
many as are taken.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from uuid import uuid4  # noqa: E402

import gevent  # noqa: E402
import urllib3  # noqa: E402
from gevent.pool import Pool  # noqa: E402

from demo.orders_file import Request, make_orders  # noqa: E402


def main(url: str, orders: int, clients: int, rate: float) -> None:
    http = urllib3.PoolManager(maxsize=clients, timeout=60.0, retries=False)
    times: list[float] = []

    def place(order: Request, due: float) -> None:
        gevent.sleep(max(due - time.perf_counter(), 0.0))
        began = time.perf_counter()
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
        answer = http.request("POST", f"{url}/orders", body=json.dumps(order.body).encode(), headers=headers)
        if answer.status != 201:
            raise SystemExit(f"{answer.status}: {answer.data[:300]!r}")
        times.append(time.perf_counter() - began)

    pool = Pool(clients)
    began = time.perf_counter()
    greenlets = [
        pool.spawn(place, order, began + number / rate if rate else 0.0)
        for number, order in enumerate(make_orders(orders, seed=3))
    ]
    gevent.joinall(greenlets, raise_error=True)
    seconds = time.perf_counter() - began
    cuts = statistics.quantiles(times, n=100)
    print(json.dumps({"accepted": len(times) / seconds, "p50": cuts[49], "p99": cuts[98]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
