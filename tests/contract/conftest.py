"""The same server as in tests/api."""

from tests.api.conftest import client, empty_store, fleet_side, server, store

__all__ = ["client", "empty_store", "fleet_side", "server", "store"]
