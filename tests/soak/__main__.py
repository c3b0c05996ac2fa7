"""Run the soak: `python -m tests.soak [--minutes 30] [--database sqlite|postgresql] [--seed N] [--rate 4] [--only TEXT]`.

Prints what it does, and at the end the ledger as JSON. Exit status 0 when the ledger balances, 1 when it does not.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from random import Random  # noqa: E402

import gevent  # noqa: E402

from eventbus import Bus, EventBusError  # noqa: E402
from eventbus.dead_letters import DeadLetter  # noqa: E402
from eventbus.settings import BusSettings  # noqa: E402
from eventbus.sql import Outbox  # noqa: E402
from tests.soak.faults import FAULTS, schedule  # noqa: E402
from tests.soak.ledger import Ledger  # noqa: E402
from tests.soak.tables import is_poison  # noqa: E402
from tests.soak.world import World  # noqa: E402
from tests.waiting import eventually  # noqa: E402


class Soak:
    """One run, from the first order to the ledger."""

    def __init__(self, world: World, *, only: str, quiet: float) -> None:
        self.world = world
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.drained = 0.0
        self._only = only
        self._quiet = quiet
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f}  {text}", flush=True)

    def hurt(self, seconds: float) -> None:
        """Break one thing after the other, two at a time at most."""
        gevent.joinall(
            [gevent.spawn(self._hurt, seconds, Random(self.world.random.random())) for _ in range(2)], raise_error=True
        )

    def _hurt(self, seconds: float, random: Random) -> None:
        until = time.monotonic() + seconds
        for name in schedule(random):
            if self._only not in name:
                gevent.sleep(0)
                continue
            if time.monotonic() > until:
                return
            length = min(random.uniform(2.0, 20.0), max(until - time.monotonic(), 0.5))
            self.say(f"{name}, {length:.0f} s")
            try:
                took = FAULTS[name](self.world, length)
            except Exception as error:  # two at a time may be in each other's way; the run goes on, and tells it
                self.errors.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
                took = False
            self.counts[name] += took
            gevent.sleep(random.uniform(0.5, 4.0))
            for (role, number), process in list(self.world.services.items()):
                if process.process.poll() is not None:
                    self.say(f"{role} {number} is dead ({process.process.returncode}); started again")
                    self.world.run(role, number)

    def drain(self) -> bool:
        """Stop the orders, and wait until nothing waits any more; return whether that came true."""
        began = time.monotonic()
        boxes = [Outbox(self.world.books.orders), Outbox(self.world.books.fulfillment)]
        last = 0.0
        while time.monotonic() - began < self._quiet:
            backlogs = [each.backlog() for each in boxes]
            if not any(each.waiting or each.unsettled or each.delayed for each in backlogs):
                self.drained = max(self.drained, time.monotonic() - began)
                return True
            if time.monotonic() - last > 15.0:
                last = time.monotonic()
                self.say(f"still open: {backlogs}")
            gevent.sleep(1.0)
        return False

    def stop_orders(self) -> None:
        """Let orders only publish what is there."""
        self.world.flag("enough", up=True)

    def letters(self) -> tuple[int, int]:
        """Return how many dead letters there are, and how many of them nobody has: neither database nor tools."""
        refused = {key for key in self.world.books.placed() if is_poison(key)}
        in_database = self.world.books.letters()
        seen: set[str] = set()
        until = time.monotonic() + self._quiet
        while time.monotonic() < until and not refused <= seen:
            with Bus(self.world.url, source="soak", settings=BusSettings()) as bus:
                try:
                    found = bus.dead_letters("soak_placed", "fulfillment").list(limit=100_000)
                except EventBusError as error:
                    self.say(f"dead letters: {error}")
                    found = []
            seen |= {key for key in map(_key_of, found) if key}
            gevent.sleep(2.0)
        return in_database, len(refused - seen)

    def mend(self) -> None:
        """Replay the dead letters of orders and discard those of garbage, again until no database has one."""
        self.world.flag("mended", up=True)
        until = time.monotonic() + self._quiet
        while self.world.books.letters() and time.monotonic() < until:
            for topic, channel in PLACES:
                try:
                    with Bus(self.world.url, source="soak", settings=BusSettings()) as bus:
                        letters = bus.dead_letters(topic, channel)
                        gone = letters.discard(where=lambda letter: not _key_of(letter))
                        done = letters.replay(where=lambda letter: bool(_key_of(letter)))
                    self.say(f"{topic}/{channel}: {done} dead letters replayed, {gone} discarded")
                except EventBusError as error:
                    self.say(f"{topic}/{channel}: {str(error)[:200]}")
            gevent.sleep(5.0)


PLACES = (("soak_placed", "fulfillment"), ("soak_placed", "billing"), ("soak_shipped", "billing"))


def _key_of(letter: DeadLetter) -> str:
    """Return the order's key; "" where the letter holds no event of ours."""
    try:
        data = letter.envelope().data
    except EventBusError:
        return ""
    return str(data.get("key")) if isinstance(data, dict) and "content" in data else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rate", type=float, default=4.0, help="orders a second of each of two processes")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--quiet", type=float, default=600.0, help="longest time in seconds until all is settled")
    parser.add_argument("--only", default="", help="faults whose names hold this text")
    options = parser.parse_args()
    seed = Random().getrandbits(32) if options.seed is None else options.seed
    world = World(options.database, rate=options.rate, random=Random(seed))
    soak = Soak(world, only=options.only, quiet=options.quiet)
    try:
        soak.say(f"seed {seed}, logs in {world.logs}")
        eventually(lambda: world.books.effects() > 100, "the first effects")
        soak.say("all run")
        soak.hurt(options.minutes * 60.0)
        world.heal()
        soak.stop_orders()
        is_drained = soak.drain()
        for node in world.nodes:  # what dead letters there are lies in databases too
            node.nsqd.process.end()
            for path in node.nsqd.folder.iterdir():
                path.unlink()
            node.nsqd.start()
        letters, letters_lost = soak.letters()
        soak.mend()
        is_drained = soak.drain() and is_drained
        gevent.sleep(2.0)
        ledger: Ledger = world.books.close(letters=letters, letters_lost=letters_lost)
        left = world.books.letters()
    finally:
        world.end()
    told = {
        "database": options.database,
        "seed": seed,
        "minutes": options.minutes,
        "faults": sum(soak.counts.values()),
        "kinds": len([each for each in soak.counts.values() if each]),
        "by_kind": dict(sorted(soak.counts.items())),
        "in each other's way": soak.errors,
        "drained": is_drained,
        "seconds to drain": round(soak.drained, 1),
        "letters left": left,
        **ledger.as_json(),
    }
    print(json.dumps(told, indent=2))
    return 0 if ledger.is_balanced and is_drained and not left else 1


if __name__ == "__main__":
    sys.exit(main())
