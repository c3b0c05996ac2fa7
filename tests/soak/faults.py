"""Faults of the soak, each from outside: it begins, lasts, and ends by itself."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from random import Random

import gevent

from eventbus.engines.nsq.http import request
from eventbus.runtime.failpoints import PLACES
from tests.soak.database_faults import (
    end_sessions,
    kill_postgres,
    lock_database,
    postgres,
    stop_postgres,
    use_up_connections,
)
from tests.soak.fault import Fault
from tests.soak.foreign_messages import forged_receipts, garbage, repeats
from tests.soak.proxy import Mood, Proxy
from tests.soak.world import World


def _kill_nsqd(which: int | None, *, wipe: bool = False, how: int = signal.SIGKILL, move: bool = False) -> Fault:
    def fault(world: World, seconds: float) -> bool:
        with world.restarts:
            return restart(world, seconds)

    def restart(world: World, seconds: float) -> bool:
        nodes = world.nodes if which is None else [world.nodes[which]]
        for node in nodes:
            node.nsqd.process.signal(how)
            if how == signal.SIGTERM:
                node.nsqd.process.wait()
            node.nsqd.process.end()
            if wipe:
                for path in node.nsqd.folder.iterdir():
                    path.unlink()
            if move:
                node.move()
        gevent.sleep(seconds / 3)
        for node in nodes:
            node.nsqd.start()
        return True

    return fault


def _flip_bytes(world: World, seconds: float) -> bool:
    """An nsqd killed, whose files have wrong bytes when it comes again."""
    with world.restarts:
        return _flip(world, seconds)


def _flip(world: World, seconds: float) -> bool:
    node = world.random.choice(world.nodes)
    node.nsqd.process.end()
    flipped = 0
    for path in node.nsqd.folder.glob("*.dat"):
        data = bytearray(path.read_bytes())
        if path.name != "nsqd.dat" and len(data) > 100:
            for _ in range(5):
                data[world.random.randrange(len(data))] ^= 0xFF
            path.write_bytes(data)
            flipped += 1
    node.nsqd.start()
    gevent.sleep(seconds / 3)
    return flipped > 0


def _mood(mood: Mood, *, of: str = "nsqd", all_of_them: bool = False) -> Fault:
    def fault(world: World, seconds: float) -> bool:
        chosen: list[Proxy] = []
        if of == "nsqd":
            nodes = world.nodes if all_of_them else [world.random.choice(world.nodes)]
            chosen = [proxy for node in nodes for proxy in node.proxies]
        else:
            chosen = world.lookup_proxies if all_of_them else [world.random.choice(world.lookup_proxies)]
        before = sum(proxy.hits for proxy in chosen)
        for proxy in chosen:
            proxy.mood = mood
            if mood in ("closed", "garbage"):
                proxy.cut()
        gevent.sleep(seconds)
        for proxy in chosen:
            proxy.mood = "well"
        return sum(proxy.hits for proxy in chosen) > before

    return fault


def _stop_process(pick: Callable[[World], list[tuple[str, int]]]) -> Fault:
    def fault(world: World, seconds: float) -> bool:
        chosen = [world.services[each] for each in pick(world)]
        for process in chosen:
            process.signal(signal.SIGSTOP)
        gevent.sleep(seconds)
        for process in chosen:
            process.signal(signal.SIGCONT)
        return True

    return fault


def _restart(role: str, how: int, *, both: bool = False, **environment: str) -> Fault:
    def fault(world: World, seconds: float) -> bool:
        numbers = (0, 1) if both else (world.random.randrange(2),)
        for number in numbers:
            process = world.services[role, number]
            process.signal(how)
            if how == signal.SIGTERM:
                process.wait(60.0)
        gevent.sleep(min(seconds / 5, 5.0))
        for number in numbers:
            world.run(role, number, **environment)
        return True

    return fault


def _die_at(world: World, seconds: float) -> bool:
    """A service that dies between two given steps."""
    place = world.random.choice(sorted(PLACES))
    role = "orders" if place.startswith("relay") else world.random.choice(["fulfillment", "billing"])
    number = world.random.randrange(2)
    world.services[role, number].signal(signal.SIGKILL)
    share = 0.2 if place.startswith(("relay", "receipts")) else 0.05
    world.run(role, number, EVENTBUS_FAILPOINTS=f"{place}=kill@{share}")
    gevent.sleep(seconds)
    died = world.services[role, number].process.poll() is not None
    world.run(role, number)
    return died


def _flag(name: str) -> Fault:
    def fault(world: World, seconds: float) -> bool:
        world.flag(name, up=True)
        gevent.sleep(seconds)
        seen = not (world.folder / name).exists() or name in ("fail", "burst")
        world.flag(name, up=False)
        return seen

    return fault


def _few_files(world: World, seconds: float) -> bool:
    """A service that may open no file more."""
    role = world.random.choice(["orders", "fulfillment", "billing"])
    pid = world.services[role, world.random.randrange(2)].process.pid
    there = len(os.listdir(f"/proc/{pid}/fd"))
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (there, hard))
    for node in world.nodes:  # so that it wants new ones
        for proxy in node.proxies:
            proxy.cut()
    gevent.sleep(seconds)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    return True


def _disk_full(world: World, seconds: float) -> bool:
    node = world.random.choice(world.nodes)
    if not node.is_small:
        return False
    node.fill()
    world.flag("burst", up=True)
    gevent.sleep(seconds)
    world.flag("burst", up=False)
    (node.nsqd.folder / "filler").unlink(missing_ok=True)
    return True


def _many_topics(world: World, seconds: float) -> bool:
    node = world.random.choice(world.nodes)
    names = [f"soak_extra_{number}" for number in range(200)]
    for name in names:
        request(node.nsqd.http, "POST", "/topic/create", timeout=10.0, topic=name)
    gevent.sleep(seconds)
    for name in names:
        request(node.nsqd.http, "POST", "/topic/delete", timeout=10.0, topic=name)
    return True


def _any_service(world: World) -> list[tuple[str, int]]:
    return [world.random.choice(sorted(world.services))]


def _both_of_one(world: World) -> list[tuple[str, int]]:
    role = world.random.choice(["orders", "fulfillment", "billing"])
    return [(role, 0), (role, 1)]


def _hang_nsqd(world: World, seconds: float) -> bool:
    node = world.random.choice(world.nodes)
    node.nsqd.freeze()
    gevent.sleep(seconds)
    node.nsqd.thaw()
    return True


def _lookupd(how: int) -> Fault:
    def fault(world: World, seconds: float) -> bool:
        lookupd = world.random.choice(world.lookupds)
        lookupd.process.signal(how)
        gevent.sleep(seconds)
        if how == signal.SIGSTOP:
            lookupd.process.signal(signal.SIGCONT)
        else:
            lookupd.end()
            lookupd.start()
        return True

    return fault


FAULTS: dict[str, Fault] = {
    "F1 nsqd killed": _kill_nsqd(0),
    "F1 nsqd killed, disk gone": _kill_nsqd(1, wipe=True),
    "F1 both nsqd killed": _kill_nsqd(None),
    "F1 both nsqd killed, disks gone": _kill_nsqd(None, wipe=True),
    "F2 nsqd hangs": _hang_nsqd,
    "F3 nsqd restarted": _kill_nsqd(0, how=signal.SIGTERM),
    "F3 nsqd restarted elsewhere": _kill_nsqd(1, how=signal.SIGTERM, move=True),
    "F4 nsqlookupd killed": _lookupd(signal.SIGKILL),
    "F4 nsqlookupd hangs": _lookupd(signal.SIGSTOP),
    "F4 nsqlookupd answers garbage": _mood("garbage", of="nsqlookupd", all_of_them=True),
    "F5 network gone both ways": _mood("stalled"),
    "F5 network gone one way": _mood("deaf"),
    "F5 network gone, all nsqd": _mood("stalled", all_of_them=True),
    "F5 connections refused": _mood("closed"),
    "F6 slow network": _mood("slow", all_of_them=True),
    "F7 answers lost": _mood("lost_answers"),
    "F7 cut in the middle": _mood("torn"),
    "F7 in pieces": _mood("pieces", all_of_them=True),
    "F8 handler slower than the message timeout": _flag("slow"),
    "F9 fulfillment killed": _restart("fulfillment", signal.SIGKILL),
    "F9 billing killed, both": _restart("billing", signal.SIGKILL, both=True),
    "F9 orders killed, both": _restart("orders", signal.SIGKILL, both=True),
    "F9 killed between two steps": _die_at,
    "F10 every handler fails": _flag("fail"),
    "F11 garbage": garbage,
    "F11 forged receipts": forged_receipts,
    "F13 broker's disk full": _disk_full,
    "F14 database locked": lock_database,
    "F14 PostgreSQL killed": postgres(kill_postgres),
    "F14 PostgreSQL hangs": postgres(stop_postgres),
    "F14 sessions ended": postgres(end_sessions),
    "F14 connections used up": postgres(use_up_connections),
    "F16 clock an hour ahead": _restart("fulfillment", signal.SIGTERM, SOAK_SKEW="3600"),
    "F16 clock an hour behind": _restart("orders", signal.SIGTERM, SOAK_SKEW="-3600"),
    "F17 doubles and disorder": repeats,
    "F18 fulfillment restarted": _restart("fulfillment", signal.SIGTERM),
    "F18 billing restarted": _restart("billing", signal.SIGTERM),
    "F18 orders restarted": _restart("orders", signal.SIGTERM),
    "F19 ten times as many orders": _flag("burst"),
    "F20 hundreds of topics": _many_topics,
    "F21 no file can be opened": _few_files,
    "F22 blocked hub": _flag("block"),
    "F23 a process hangs": _stop_process(_any_service),
    "F23 both processes of a service hang": _stop_process(_both_of_one),
    "F24 two releases of orders": _restart("orders", signal.SIGTERM, SOAK_NOTE="1"),
    "F25 wrong bytes on the broker's disk": _flip_bytes,
}
"""Names begin with the number of the kind of fault."""


def schedule(random: Random) -> Iterator[str]:
    """Yield names of faults for ever: each once in random order, then again."""
    while True:
        names = sorted(FAULTS)
        random.shuffle(names)
        yield from names
