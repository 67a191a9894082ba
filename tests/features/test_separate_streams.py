"""Tidegate serves ADS alone: a node of separate streams is told so, and never counts."""

import grpc
import pytest

from tests.features.world import client_of, settings
from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS, SDS, DeltaClient, SotwClient
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.separate import separate_bootstrap
from tests.harness.waiting import until
from tidegate.plane import running_plane

ADVICE = "use ADS (ads_config in Envoy's bootstrap)"


@pytest.mark.parametrize("client", [DeltaClient, SotwClient])
async def test_every_service_of_a_single_type_is_refused_with_advice(client, tmp_path):
    async with running_plane(settings(tmp_path)) as plane:
        for type_url in (CDS, EDS, LDS, RDS, SDS, RTDS):
            address = f"127.0.0.1:{plane.xds_port}"
            async with client(address, fleet="edge", only=type_url) as stream:
                code, details = await stream.status()
            assert code is grpc.StatusCode.UNIMPLEMENTED
            assert ADVICE in details


async def test_an_envoy_of_separate_streams_reads_why_and_is_no_node(tmp_path):
    async with (
        running_plane(settings(tmp_path)) as plane,
        client_of(plane.api_port) as client,
    ):
        await client.fleet("edge")
        bootstrap = separate_bootstrap(plane.xds_port, fleet="edge", delta=True)
        async with EnvoyProcess(bootstrap) as envoy:

            async def told() -> bool:
                return ADVICE in envoy.log()

            await until(told, within=20, what="Envoy logs the advice")
            assert not plane.cache.streams("edge")
