from collections.abc import AsyncIterator

import pytest

from tests.agent.world import World, a_world


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    async with a_world(tmp_path / "node") as made:
        yield made
