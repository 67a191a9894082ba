"""The server: where it listens, health, channelz, stopping."""

import stat
from pathlib import Path

import grpc.aio
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from api.server import SERVICES, ApiServer, refuse_beyond_loopback, serve_api
from lbaas.model.errors import FailedPrecondition
from lbaas.store.store import Store
from tests.api import make
from tests.api.agents_side import AgentsSide
from tests.api.client import Client
from tests.api.fleet_side import FleetSide


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", ":1", "1", "", "[::ffff:1.2.3.4]:1"],
)
async def test_beyond_loopback_it_refuses_to_start(
    store: Store, fleet_side: FleetSide, agents: AgentsSide, address: str
) -> None:
    with pytest.raises(FailedPrecondition, match="without authentication") as caught:
        await serve_api(store, fleet_side, address, agents=agents)

    assert caught.value.reason == "AUTHENTICATION_REQUIRED"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "127.0.0.9:0", "[::1]:0", "localhost:0", "unix:/a"]
)
def test_loopback_is_fine(address: str) -> None:
    refuse_beyond_loopback(address)


async def test_a_port_in_use_is_said_so(
    store: Store, fleet_side: FleetSide, agents: AgentsSide, server: ApiServer
) -> None:
    with pytest.raises(FailedPrecondition, match="in use") as caught:
        await serve_api(store, fleet_side, f"127.0.0.1:{server.port}", agents=agents)

    assert caught.value.reason == "CANNOT_LISTEN"


async def test_a_unix_socket_is_its_owners_alone(
    store: Store, fleet_side: FleetSide, agents: AgentsSide, tmp_path: Path
) -> None:
    path = tmp_path / "api.sock"
    server = await serve_api(store, fleet_side, f"unix:{path}", agents=agents)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            client = Client(channel)
            made = await client.pools.CreatePool(make.create_pool())
            assert made.name == make.WEB
    finally:
        await server.stop()
    assert server.port == 0
    assert not path.exists()


async def test_health_of_the_server_and_of_each_service(client: Client) -> None:
    health = health_pb2_grpc.HealthStub(client.channel)

    assert len(SERVICES) == 9
    for service in ("", *SERVICES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="none"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_says_that_the_server_goes(client: Client, server: ApiServer) -> None:
    health = health_pb2_grpc.HealthStub(client.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

    await server.stop()

    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_channelz_knows_the_server(client: Client) -> None:
    channelz = channelz_pb2_grpc.ChannelzStub(client.channel)

    servers = await channelz.GetServers(channelz_pb2.GetServersRequest(start_server_id=0))

    assert servers.server
