"""The same server as in tests/api."""

from tests.api.conftest import agents, client, empty_store, fleet_side, server, store

__all__ = ["agents", "client", "empty_store", "fleet_side", "server", "store"]
