"""Older versions: an event as a publisher that was not deployed yet would have sent it, by its published contract."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

from eventbus.wire.codec import MsgpackCodec
from eventbus.wire.envelope import Envelope

if TYPE_CHECKING:
    from eventbus.contracts.contract import Contract


class OlderVersions:
    """The contracts of a folder, as `eventbus contracts publish` writes it; None for none.

    Raises:
        ContractError: the folder, or a contract in it, cannot be read.
    """

    def __init__(self, source: str | Path | None) -> None:
        self._known: dict[tuple[str, str], list[Contract]] = {}
        if source is None:
            return
        from eventbus.contracts.sources import load_contracts  # brings what reads schemas

        for each in load_contracts(source):
            if not each.retired:
                self._known.setdefault((each.topic, each.type), []).append(each)

    def before(self, topic: str, envelope: Envelope) -> Contract | None:
        """Return the contract of the version before that of an event, if one is published."""
        older = [each for each in self._known.get((topic, envelope.type), ()) if each.version < envelope.version]
        return max(older, key=lambda each: each.version, default=None)

    @staticmethod
    def written(envelope: Envelope, contract: Contract) -> bytes:
        """Return the bytes of an event in an older version: the fields that it has, and of what is missing the example's."""
        known = contract.schema.get("properties", {})
        example = contract.examples[0] if contract.examples else {}
        data = {
            name: envelope.data.get(name, example.get(name)) for name in known if name in envelope.data or name in example
        }
        older = copy(envelope)
        older.version, older.data = contract.version, data
        return MsgpackCodec().encode(older)
