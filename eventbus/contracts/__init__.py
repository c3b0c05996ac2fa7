"""Contracts: what producers promise of their events, what consumers need of them, and whether the two fit.

`eventbus contracts` is the command; the parts are here for programs and tests.
"""

from __future__ import annotations

from eventbus.contracts.contract import Contract, contract_of
from eventbus.contracts.difference import Difference, Kind
from eventbus.contracts.evolution import Break, breaks, check_evolution
from eventbus.contracts.impact import impact
from eventbus.contracts.publish import check_golden, publish, retire, unpublish
from eventbus.contracts.reading import read_contract
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.subset import differences
from eventbus.contracts.views import Misfit, View, check_views, views_of

__all__ = [
    "Break",
    "Contract",
    "Difference",
    "Kind",
    "Misfit",
    "View",
    "breaks",
    "check_evolution",
    "check_golden",
    "check_views",
    "contract_of",
    "differences",
    "impact",
    "load_contracts",
    "publish",
    "read_contract",
    "retire",
    "unpublish",
    "views_of",
]
