"""The project's own contracts: every view fits, every owner keeps its word, and the kept bytes can be read."""

from __future__ import annotations

from pathlib import Path

from eventbus.contracts import check_evolution, load_contracts
from eventbus.contracts.publish import publish
from eventbus.contracts.targets import owned_events
from eventbus.testing.contracts import contract_tests

ROOT = Path(__file__).parent.parent.parent
FOLDER, GOLDEN = ROOT / "contracts", Path(__file__).parent / "golden"
OWNERS = ("services.orders.events", "services.fulfillment.events", "services.email_confirmation.events")

test_contracts = contract_tests(
    "services.orders:service",
    "services.fulfillment:service",
    "services.email_confirmation:services",
    contracts=FOLDER,
    owners=OWNERS,
    golden=GOLDEN,
)


def test_publishing_again_would_change_no_byte() -> None:
    done = publish(owned_events(OWNERS), FOLDER, golden=GOLDEN, is_check=True)
    assert (done.written, done.refused) == ((), ())
    assert len(done.kept) == 5


def test_all_supported_versions_fit() -> None:
    assert check_evolution(load_contracts(FOLDER)) == []
