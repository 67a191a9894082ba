"""A world on SQLite."""

from collections.abc import AsyncIterator

import pytest

from lbaas.store.store import Store
from tests.tidegate.world import World
from xds.translate import BUILT


@pytest.fixture
async def world(sqlite_url: str) -> AsyncIterator[World]:
    store = await Store.open(sqlite_url, built=BUILT)
    yield await World(store).start()
    await store.close()
