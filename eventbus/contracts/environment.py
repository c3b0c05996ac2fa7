"""Environment: which releases of which services run in one place, as records: `<environment>/<service>.json`.

Records lie in a folder, in a wheel below `environments/`, or at an address that serves them and an `index.json` with their
paths. `eventbus contracts record` writes the record of a service at the end of its deploy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from eventbus.contracts.contract import Contract
from eventbus.contracts.release import Reader, Release, fingerprint, read_release, reader_of, release_name
from eventbus.contracts.sources import read_files
from eventbus.contracts.views import views_of
from eventbus.contracts.writing import write_whole
from eventbus.errors import ContractError
from eventbus.names import check_name
from eventbus.service import Service

FOLDER = "environments"


@dataclass(frozen=True, slots=True)
class Environment:
    """What runs in one place: a release of each service."""

    name: str
    releases: Sequence[Release]

    def release(self, service: str) -> Release | None:
        """Return what runs of a service; None where nothing does."""
        return next((each for each in self.releases if each.service == service), None)

    def with_release(self, release: Release) -> Environment:
        """Return the environment once a release has gone out: what the one before it sent may still lie somewhere."""
        before = self.release(release.service)
        earlier = [] if before is None else [*before.waiting, *before.publishes]
        sent = {fingerprint(each) for each in release.publishes}
        waiting = {fingerprint(each): each for each in (*earlier, *release.waiting) if fingerprint(each) not in sent}
        others = [each for each in self.releases if each.service != release.service]
        return replace(self, releases=[*others, replace(release, waiting=list(waiting.values()))])

    def without(self, dry: Iterable[Contract]) -> Environment:
        """Return the environment once nothing of some contracts waits any more."""
        gone = set(map(fingerprint, dry))
        return replace(
            self,
            releases=[
                replace(each, waiting=[one for one in each.waiting if fingerprint(one) not in gone])
                for each in self.releases
            ],
        )

    def sent(self) -> list[tuple[Release, Contract]]:
        """Return what is sent today."""
        return [(release, each) for release in self.releases for each in release.publishes]

    def waiting(self) -> list[tuple[Release, Contract]]:
        """Return what was sent once and may still lie in queues, outboxes and dead letters."""
        return [(release, each) for release in self.releases for each in release.waiting]

    def contracts(self) -> list[Contract]:
        """Return all contracts of what is sent or waits."""
        return [each for _, each in (*self.sent(), *self.waiting())]

    def readers(self) -> list[tuple[Release, Reader]]:
        """Return all views."""
        return [(release, each) for release in self.releases for each in release.reads]


def load_environment(source: str | Path, name: str) -> Environment:
    """Return an environment of a folder, a wheel or an address.

    Raises:
        ContractError: it cannot be read, or nothing is recorded of it.
    """
    files = list(read_files(source, FOLDER, "*/*.json", "eventbus contracts record --env NAME"))
    names = sorted({path.split("/")[0] for path, _ in files})
    mine = [(path, content) for path, content in files if path.split("/")[0] == name]
    if not mine:
        close = get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(names)}" if names else ""
        raise ContractError(
            f"{source}: nothing is recorded of {name}{hint}. Record what runs there: eventbus contracts record --env {name}"
        )
    releases = []
    for path, content in mine:
        place = f"{str(source).rstrip('/')}/{path}"
        try:
            release = read_release(content.decode("utf-8"), place)
        except UnicodeDecodeError:
            raise ContractError(f"{place}: no UTF-8") from None
        if path != _path(name, release.service):
            raise ContractError(f"{place}: is the record of {release.service}; move it to {_path(name, release.service)}")
        releases.append(release)
    return Environment(name, releases)


def record(
    folder: Path,
    name: str,
    releases: Iterable[Release],
    *,
    retired: Iterable[Contract] = (),
    drained: Iterable[str] = (),
    gone: Iterable[str] = (),
) -> list[Path]:
    """Write what runs in an environment now; return the paths of the records.

    Args:
        folder: the folder of all environments; made where it is missing.
        retired: contracts of which nothing lies anywhere any more.
        drained: the same of this environment alone, as `topic/Type.v1`.
        gone: services that run there no more. Their records stay for as long as something of them may still lie there.

    Raises:
        ContractError: nothing is known of what is drained or gone, or the folder cannot be read.
        InvalidNameError: the environment's name cannot be a folder's.
    """
    if check_name(name, kind="channel").startswith("."):
        raise ContractError(f"{name}: an environment's name begins with a letter or a digit")
    is_there = folder.is_dir() and any((folder / name).glob("*.json"))
    environment = load_environment(folder, name) if is_there else Environment(name, [])
    written = {each.service for each in releases}
    for release in releases:
        environment = environment.with_release(release)
    for service in gone:
        there = environment.release(service)
        if there is None:
            raise ContractError(f"{folder}: {service} is not recorded in {name}")
        environment = environment.with_release(Release(service, "gone"))
        written.add(service)
    dry = set(map(fingerprint, retired))
    known = {fingerprint(each): each for _, each in environment.waiting()}
    for asked in drained:
        found = [key for key, each in known.items() if each.path.removesuffix(".json") == asked.removesuffix(".json")]
        if not found:
            waiting = ", ".join(sorted(each.path.removesuffix(".json") for each in known.values())) or "nothing"
            raise ContractError(f"{asked}: nothing of it waits in {name}; of these something may: {waiting}")
        dry.update(found)
    paths = []
    for release in environment.releases:
        kept = [each for each in release.waiting if fingerprint(each) not in dry]
        if release.service not in written and len(kept) == len(release.waiting):
            continue
        path = folder / _path(name, release.service)
        if release.name == "gone" and not (release.publishes or release.reads or kept):
            path.unlink(missing_ok=True)
        else:
            write_whole(path, replace(release, waiting=kept).to_json())
        paths.append(path)
    return paths


def releases_of(
    services: Iterable[Service],
    published: Iterable[Contract],
    *,
    name: str | None = None,
    known: Iterable[Contract] = (),
) -> list[Release]:
    """Return the releases that services are; services of one name, as a writer and a sender, are one.

    Args:
        published: the contracts of what owners' classes send; a service sends those that it owns.
        name: of the releases; made of what they publish and read unless given.
        known: contracts that views with rules of their own are tried with.
    """
    sent, tried = list(published), list(known)
    by_name: dict[str, list[Service]] = {}
    for service in services:
        by_name.setdefault(service.name, []).append(service)
    found = []
    for service_name, parts in by_name.items():
        publishes = [each for each in sent if each.owner == service_name]
        views = {(view.channel, view.handler, view.event_type): view for view in views_of(parts)}
        reads = [reader_of(view, [*tried, *sent]) for view in views.values()]
        parks = frozenset(topic for each in parts if each.unhandled == "park" for topic in each.topics)
        found.append(Release(service_name, name or release_name(publishes, reads), publishes, reads, parks))
    return found


def _path(environment: str, service: str) -> str:
    return f"{environment}/{service}.json"
