from tests.integration.conftest import ends, lookupd, make_bus, nsqd

__all__ = ["ends", "lookupd", "make_bus", "nsqd"]
