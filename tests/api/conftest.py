"""A real server of the API on a real store."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc.aio
import pytest

from api.server import ApiServer, serve_api
from lbaas.model.capabilities import EVERYTHING
from lbaas.store.store import Store
from tests.api.agents_side import AgentsSide
from tests.api.client import Client
from tests.api.fleet_side import FleetSide


async def _make_empty(path: Path) -> None:
    store = await Store.open(f"sqlite:///{path}", built=EVERYTHING)
    await store.close()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was migrated once; tests take a copy each."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    asyncio.run(_make_empty(path))
    return path


@pytest.fixture
async def store(tmp_path: Path, empty_store: Path) -> AsyncIterator[Store]:
    path = shutil.copy(empty_store, tmp_path / "store.db")
    store = await Store.open(f"sqlite:///{path}", built=EVERYTHING)
    yield store
    await store.close()


@pytest.fixture
def fleet_side() -> FleetSide:
    return FleetSide()


@pytest.fixture
def agents() -> AgentsSide:
    return AgentsSide()


@pytest.fixture
async def server(
    store: Store, fleet_side: FleetSide, agents: AgentsSide
) -> AsyncIterator[ApiServer]:
    server = await serve_api(
        store,
        fleet_side,
        "127.0.0.1:0",
        agents=agents,
        heartbeat=timedelta(milliseconds=200),
    )
    yield server
    await server.stop()


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Client(channel)
