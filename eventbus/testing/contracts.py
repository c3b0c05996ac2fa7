"""Contract tests in one line of a service's own test suite::

    from eventbus.testing.contracts import contract_tests

    test_contracts = contract_tests("services.fulfillment:service", contracts="contracts")

Each view becomes a test of its own, and with `owners` each event that they own. Contracts come from a folder, a wheel or an
address, so that the test runs in the subscriber's repository too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from eventbus.contracts.contract import Contract, contract_of
from eventbus.contracts.evolution import breaks
from eventbus.contracts.publish import check_golden
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.targets import owned_events, services_of
from eventbus.contracts.views import View, check_views, views_of
from eventbus.event import Event
from eventbus.service import Service

Check = Callable[[], list[str]]


def contract_tests(
    *services: str | Service,
    contracts: str | Path,
    owners: Sequence[str] = (),
    golden: str | Path | None = None,
) -> Callable[..., None]:
    """Return a test function with a case for each view and each owned event.

    Args:
        services: the services, or their names as `module:attribute`.
        contracts: folder, wheel or address of the contracts.
        owners: modules whose events must equal their published contracts, as `services.orders.events`.
        golden: folder of kept bytes, which all must be able to read.
    """
    cases = dict(_cases(services, contracts, owners, golden))

    @pytest.mark.parametrize("case", list(cases))
    def test_contracts(case: str) -> None:
        found = cases[case]()
        if found:
            pytest.fail("\n".join(found), pytrace=False)

    return test_contracts


def _cases(
    services: Sequence[str | Service], source: str | Path, owners: Sequence[str], golden: str | Path | None
) -> Iterator[tuple[str, Check]]:
    there = load_contracts(source)
    given = [each for each in services if isinstance(each, Service)]
    views = views_of([*given, *services_of([each for each in services if isinstance(each, str)])])
    for view in views:
        name = f"{view.name} reads {view.event_type.__event_info__.topic}"
        yield name, _fit(view, there)
    owned = owned_events(owners)
    for event_type, owner in owned:
        yield f"{owner} keeps its word on {event_type.__event_info__.topic}", _promise(event_type, owner, there)
    if golden is not None:
        yield "kept bytes can be read", lambda: check_golden(Path(golden), there, [each for each, _ in owned], views)


def _fit(view: View, there: Sequence[Contract]) -> Check:
    return lambda: [str(each) for each in check_views([view], there)]


def _promise(event_type: type[Event], owner: str, there: Sequence[Contract]) -> Check:
    def check() -> list[str]:
        mine = contract_of(event_type, owner)
        same = [each for each in there if each.path == mine.path]
        if not same:
            return [f"{mine.topic}: {mine.name} is not published; run eventbus contracts publish"]
        if same[0].shape() != mine.shape():
            return [f"{mine.topic}: {mine.name} differs from {same[0].place}; give it version={mine.version + 1}"]
        earlier = [e for e in there if (e.topic, e.type) == (mine.topic, mine.type) and e.version < mine.version]
        return [str(found) for each in earlier if each.retired is None for found in breaks(each, mine)]

    return check
