"""The project's own contracts: every view fits, every owner keeps its word, and the kept bytes can be read."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

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


def test_nothing_that_main_published_has_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)

    if git("rev-parse", "HEAD").returncode:
        pytest.skip("not in a git repository: there is no main branch to compare with")
    base = git("merge-base", "HEAD", "origin/main")
    commit = base.stdout.decode().strip() if base.returncode == 0 else "HEAD"
    archive = git("archive", "--format=tar", commit, "contracts")
    if archive.returncode:
        pytest.skip("main has no contracts yet")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path, filter="data")
    here = {contract.path: contract for contract in load_contracts(FOLDER)}
    for contract in load_contracts(tmp_path / "contracts"):
        assert contract.path in here, f"{contract.path} is published and gone"
        assert here[contract.path].shape() == contract.shape(), f"{contract.path} is published and has changed"


def test_all_supported_versions_fit() -> None:
    assert check_evolution(load_contracts(FOLDER)) == []
