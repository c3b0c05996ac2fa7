"""Signing: who said what. Events, receipts, dead letters and copies carry a proof, and who reads them checks it.

A program has a file of keys (`keys.py`). What it publishes is signed on the way into its engine (`engine.py`), what it is
delivered is judged before anything of it is followed (`signer.py`). The form on the wire is `eventbus.wire.sealed`.
"""

from eventbus.signing.engine import SigningEngine, for_copies, signer_of, signing
from eventbus.signing.keys import Key, Keyring, read_keys
from eventbus.signing.signer import Signer

__all__ = ["Key", "Keyring", "Signer", "SigningEngine", "for_copies", "read_keys", "signer_of", "signing"]
