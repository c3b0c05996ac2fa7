"""Deploying: whether a release may go out to an environment, and what must go first.

While a release goes out, old and new run side by side and share their channels. So what it sends is read by all that runs
there, its own release before it too; and it reads all that is sent there, and all that was sent once and may still lie in
queues, outboxes and dead letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from eventbus.contracts.contract import Contract
from eventbus.contracts.environment import Environment
from eventbus.contracts.release import UNPROVED, Reader, Release, fingerprint
from eventbus.errors import ContractError

_MOST = 12
"""Releases of one call of which every order is tried."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason why a release may not go out.

    Attributes:
        reason: in words, with event and field.
        first: what must go first, in words.
        counterexample: data that would be sent and not be read, as JSON; None where none was found.
        service: which service must go first; None where something else must happen.
    """

    reason: str
    first: str
    counterexample: str | None = None
    service: str | None = None

    def __str__(self) -> str:
        return self.reason + (f"\n    for example, it cannot read {self.counterexample}" if self.counterexample else "")


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether releases may go out.

    Attributes:
        order: the releases that may, in the order in which they may.
        obstacles: why the others may not, of each in the environment once those of `order` have gone out.
        notes: what is no obstacle and worth a look.
        help: an order in which all may go, where releases that were not asked for go too.
    """

    environment: str
    order: Sequence[Release]
    obstacles: Sequence[tuple[Release, Sequence[Obstacle]]] = ()
    notes: Sequence[str] = ()
    help: Sequence[Release] = ()

    @property
    def is_yes(self) -> bool:
        """Whether all may go."""
        return not self.obstacles

    def lines(self) -> list[str]:
        """Return the answer in words."""
        names = ", then ".join(map(str, self.order))
        if self.is_yes:
            how = f" in this order: {names}" if len(self.order) > 1 else f": {names}"
            return [f"yes, to {self.environment}{how}", *self.notes]
        lines = []
        for release, obstacles in self.obstacles:
            lines.append(f"no: {release} may not go to {self.environment}" + (f" even after {names}" if names else ""))
            lines += [f"  {each}".replace("\n", "\n  ") for each in obstacles]
            lines += [f"  first: {each}" for each in dict.fromkeys(each.first for each in obstacles)]
        if self.help:
            lines.append(f"in this order they may: {', then '.join(map(str, self.help))}")
        return [*lines, *self.notes]


def can_deploy(releases: Sequence[Release], environment: Environment, others: Iterable[Release] = ()) -> Answer:
    """Return whether releases may go out to an environment, one after the other in some order.

    Args:
        others: releases of other services that could go too, as those of a place of tests: where one of them must go first,
            the answer names it.

    Raises:
        ContractError: two of them are of one service, or there are too many to try every order.
    """
    if len({each.service for each in releases}) < len(releases):
        raise ContractError("two releases of one service cannot go out together; ask for each")
    if len(releases) > _MOST:
        raise ContractError(
            f"{len(releases)} releases are more than {_MOST}, of which every order can be tried; ask for fewer"
        )
    order = _order(releases, environment)
    there = environment
    for each in order:
        there = there.with_release(each)
    left = [each for each in releases if each not in order]
    notes = [note for each in releases for note in _notes(each, there)]
    found = [(each, list(obstacles(each, there))) for each in left]
    return Answer(environment.name, order, found, notes, _help(releases, environment, found, list(others)))


def _order(releases: Sequence[Release], environment: Environment) -> list[Release]:
    """Return the longest order found in which releases may go; of all of them where there is one."""
    best: list[Release] = []
    dead_ends: set[frozenset[str]] = set()

    def go(there: Environment, gone: list[Release]) -> bool:
        nonlocal best
        best = max(best, gone, key=len)
        names = frozenset(each.service for each in gone)
        if len(gone) == len(releases) or names in dead_ends:  # what runs does not hang on the order in which it came
            return len(gone) == len(releases)
        dead_ends.add(names)
        return any(
            go(there.with_release(each), [*gone, each])
            for each in releases
            if each.service not in names and next(obstacles(each, there), None) is None
        )

    go(environment, [])
    return best


def _help(
    releases: Sequence[Release],
    environment: Environment,
    found: Sequence[tuple[Release, Sequence[Obstacle]]],
    others: Sequence[Release],
) -> Sequence[Release]:
    """Return an order of releases and such as must go first; empty where none is known."""
    asked = list(releases)
    while found:
        needed = {each.service for _, obstacles_of in found for each in obstacles_of}
        more = [each for each in others if each.service in needed and each.service not in {one.service for one in asked}]
        if not more or len(asked) + len(more) > _MOST:
            return []
        asked += more
        order, there = _order(asked, environment), environment
        for each in order:
            there = there.with_release(each)
        found = [(each, list(obstacles(each, there))) for each in asked if each not in order]
        if not found:
            return order
    return []


def obstacles(release: Release, environment: Environment) -> Iterator[Obstacle]:
    """Yield why a release may not go out to an environment as it is now; nothing when it may."""
    known = [*environment.contracts(), *release.publishes]
    sent = {fingerprint(each): (owner, each) for owner, each in environment.sent()}
    waiting = {fingerprint(each): (owner, each) for owner, each in environment.waiting()}
    own = {fingerprint(each): each for each in release.publishes}
    for other, reader in environment.readers():
        for contract in _of(reader, own.values()):
            for reason, shown in reader.refuses(contract, known):
                first = _reader_first(environment.name, release, other, reader, contract, is_unproved=reason == UNPROVED)
                yield Obstacle(_words(contract, reason, reader, other), first, shown, other.service)
    for reader in release.reads:
        for contract in _of(reader, own.values()):
            for reason, shown in reader.refuses(contract, known):
                first = f"mend {release.service}: it would not read what it sends itself"
                yield Obstacle(_words(contract, reason, reader, release), first, shown)
        for key, (owner, contract) in {**waiting, **sent}.items():
            if key in own or not _is_read(reader, contract):
                continue
            for reason, shown in reader.refuses(contract, known):
                is_sent = key in sent
                yield Obstacle(
                    _words(contract, reason, reader, release),
                    _owner_first(environment.name, release, owner, reader, contract, is_sent=is_sent),
                    shown,
                    owner.service if is_sent and owner.service != release.service else None,
                )
    yield from _left_alone(release, environment)
    yield from _parked(release, environment)


def _left_alone(release: Release, environment: Environment) -> Iterator[Obstacle]:
    """Yield what others wait for and nobody would send any more."""
    before = environment.release(release.service)
    after = environment.with_release(release)
    still = {(each.topic, each.type) for _, each in after.sent()}
    for contract in () if before is None else {(each.topic, each.type): each for each in before.publishes}.values():
        if (contract.topic, contract.type) in still:
            continue
        for other, reader in environment.readers():
            if other.service != release.service and _is_read(reader, contract):
                yield Obstacle(
                    f"{contract.topic}: {contract.type}: is sent no more; {reader.name} of {other} would wait for ever",
                    f"{other.service}, in a release that does not read {contract.type} from {contract.topic}",
                    service=other.service,
                )


def _parked(release: Release, environment: Environment) -> Iterator[Obstacle]:
    """Yield what would go to the dead letters of a service that has no handler for it and parks such events."""
    new = [(other, each) for other in environment.releases for each in release.publishes]
    there = [(release, each) for _, each in (*environment.sent(), *environment.waiting())]
    own = [(release, each) for each in release.publishes]
    for parker, contract in {
        (one.service, one.name, each.topic, each.type): (one, each) for one, each in (*new, *there, *own)
    }.values():
        if contract.topic in parker.parks and not any(_is_read(each, contract) for each in parker.reads):
            yield Obstacle(
                f'{contract.topic}: {contract.type}: {parker} parks it: it has no handler for it and unhandled="park"',
                f"{parker.service}, in a release that has a handler for {contract.type}, or finishes what it does not know",
                service=parker.service if parker is not release else None,
            )


def _notes(release: Release, environment: Environment) -> Iterator[str]:
    known = {(each.topic, each.type) for each in environment.contracts()}
    for reader in release.reads:
        if (reader.topic, reader.type) not in known:
            yield f"note: nobody in {environment.name} sends {reader.type} on {reader.topic}; {reader.name} waits for it"


def _of(reader: Reader, contracts: Iterable[Contract]) -> list[Contract]:
    return [each for each in contracts if _is_read(reader, each)]


def _is_read(reader: Reader, contract: Contract) -> bool:
    return (reader.topic, reader.type) == (contract.topic, contract.type)


def _words(contract: Contract, reason: str, reader: Reader, release: Release) -> str:
    return f"{contract.topic}: {contract.name}: {reason}; this breaks {reader.name} of {release}"


def _reader_first(
    environment: str, release: Release, other: Release, reader: Reader, contract: Contract, *, is_unproved: bool
) -> str:
    if is_unproved:
        return (
            f"record {other} again with the contract of {contract.name} beside it, so that its class is tried: eventbus "
            f"contracts record {other.service} --env {environment} --release {other.name}"
        )
    if other.service == release.service:
        return (
            f"{other.service} itself, in a release that reads {contract.name} and does not send it yet: while it goes out, "
            "old and new share its channel"
        )
    return f"{other.service}, in a release whose {reader.handler.rsplit('.', 1)[-1]} reads {contract.name}"


def _owner_first(
    environment: str, release: Release, owner: Release, reader: Reader, contract: Contract, *, is_sent: bool
) -> str:
    path = contract.path.removesuffix(".json")
    gone = f"eventbus contracts record --env {environment} --drained {path}"
    if not is_sent:
        return (
            f"nothing of {contract.name} may lie in queues, outboxes and dead letters any more ({gone}); or let "
            f"{reader.name} read it too"
        )
    return (
        f"{owner.service}, in a release that does not send {contract.name}, and then nothing of it may lie anywhere any "
        f"more ({gone}); or let {reader.name} read it too"
    )
