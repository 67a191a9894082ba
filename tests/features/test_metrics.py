"""Metrics of a whole plane with a real Envoy: the figures are those of what happened."""

import re
import socket
from pathlib import Path

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lbaas.model.errors import FailedPrecondition
from lbaas.v1.load_balancer_service_pb2 import WatchRequest
from lbaas.v1.pool_service_pb2 import GetPoolRequest
from tests.features.world import REJECTED, client_of, settings, world
from tests.harness.ads_client import CDS, DeltaClient
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tidegate.config import Settings
from tidegate.plane import Plane, running_plane

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ANY = "127.0.0.1:0"


class Scraped:
    """One scrape, read as Prometheus reads it."""

    def __init__(self, text: str) -> None:
        self.families = {each.name: each for each in text_string_to_metric_families(text)}
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self._samples.get((name, frozenset(labels.items())), 0.0)


async def scrape(plane: Plane, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{plane.metrics_port}/metrics", headers=headers)
        return answer.raise_for_status()


async def scraped(plane: Plane) -> Scraped:
    return Scraped((await scrape(plane)).text)


async def test_the_figures_are_those_of_what_happened(tmp_path):
    async with world(tmp_path, metrics_address=ANY, nodes=2) as (plane, client, _):
        pool = await client.pool("acme", "web")
        await client.member(pool.name, "m1", "127.0.0.1:9")
        vip = await client.vip("acme", "web", pool=pool.name, port=free_port())
        await client.applied(vip.name)
        await client.applied(pool.name)

        async def all_live() -> Scraped | None:
            now = await scraped(plane)
            return now if now("tidegate_convergence_seconds_count", fleet="edge") == 3 else None

        before = await until(all_live, within=10, what="three objects were live")
        assert before("tidegate_convergence_seconds_sum", fleet="edge") > 0
        assert before("tidegate_xds_nodes", fleet="edge", state="SYNCED") == 2
        assert before("tidegate_xds_nodes", fleet="edge", state="REJECTED") == 0
        for kind in ("Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"):
            assert before("tidegate_xds_pushes_total", fleet="edge", type=kind) >= 2
            assert before("tidegate_xds_nack_total", fleet="edge", type=kind) == 0
        assert before("tidegate_xds_push_bytes_total", fleet="edge") == (
            plane.xds.traffic.sent_bytes
        )
        ages = [
            before("tidegate_node_last_ack_age_seconds", fleet="edge", node=f"node-{number}")
            for number in range(2)
        ]
        assert all(0 < age < 60 for age in ages)

        with socket.create_server(("127.0.0.1", 0)) as taken:
            bad = await client.vip("acme", "bad", pool=pool.name, port=taken.getsockname()[1])
            assert (await client.wait(bad.name)).outcome == REJECTED

        async def both_refused() -> Scraped | None:
            now = await scraped(plane)
            return now if now("tidegate_xds_nodes", fleet="edge", state="REJECTED") == 2 else None

        after = await until(both_refused, within=10, what="both nodes refused it")
        assert after("tidegate_xds_nack_total", fleet="edge", type="Listener") == 2
        assert after("tidegate_xds_nack_total", fleet="edge", type="Cluster") == 0
        assert after("tidegate_xds_nodes", fleet="edge", state="SYNCED") == 0
        assert after("tidegate_convergence_seconds_count", fleet="edge") == 3  # it is not live


async def test_calls_are_counted_by_method_and_code_and_no_client_makes_a_label(tmp_path):
    async with (
        running_plane(settings(tmp_path, metrics_address=ANY)) as plane,
        client_of(plane.api_port) as client,
    ):
        await client.fleet("edge")
        await client.pool("acme", "web")
        with pytest.raises(grpc.aio.AioRpcError):
            await client.pools.GetPool(GetPoolRequest(name="projects/acme/pools/none"))
        with pytest.raises(grpc.aio.AioRpcError):
            await client.pools.GetPool(GetPoolRequest(name="nonsense"))
        for path in ("/lbaas.v1.PoolService/Nonsense", "/x.Y/Z"):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await client.channel.unary_unary(path)(b"")
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        now = await scraped(plane)
        total = "tidegate_api_requests_total"
        assert now(total, method="PoolService/CreatePool", code="OK") == 1
        assert now(total, method="PoolService/GetPool", code="NOT_FOUND") == 1
        assert now(total, method="PoolService/GetPool", code="INVALID_ARGUMENT") == 1
        assert now(total, method="unknown", code="UNIMPLEMENTED") == 2
        seconds = "tidegate_api_request_seconds_count"
        assert now(seconds, method="PoolService/GetPool") == 2
        assert now(seconds, method="unknown") == 0
        methods = {
            sample.labels["method"] for sample in now.families["tidegate_api_requests"].samples
        }
        assert not {each for each in methods if "Nonsense" in each or "Z" in each}


async def test_a_fleet_that_a_client_made_up_is_in_no_label(tmp_path):
    async with (
        running_plane(settings(tmp_path, metrics_address=ANY)) as plane,
        DeltaClient(f"127.0.0.1:{plane.xds_port}", fleet="made-up") as stream,
    ):
        await stream.send(CDS, nonce="1", error="no")

        async def connected() -> bool:
            return bool(plane.cache.streams("made-up"))

        await until(connected, within=10, what="it is connected")
        assert "made-up" not in (await scrape(plane)).text


async def test_a_stream_is_counted_when_it_ends_and_has_no_length(tmp_path):
    async with (
        running_plane(settings(tmp_path, metrics_address=ANY)) as plane,
        client_of(plane.api_port) as client,
    ):
        watch = client.trees.Watch(WatchRequest(parent="projects/acme"))
        await watch.initial_metadata()
        watch.cancel()

        async def counted() -> bool:
            now = await scraped(plane)
            name = "LoadBalancerService/Watch"
            assert now("tidegate_api_request_seconds_count", method=name) == 0
            return now("tidegate_api_requests_total", method=name, code="CANCELLED") == 1

        await until(counted, within=10, what="the watch has ended")


async def test_open_metrics_carries_the_revision_that_took_so_long(tmp_path):
    async with world(tmp_path, metrics_address=ANY) as (plane, client, _):
        pool = await client.pool("acme", "web")
        await client.applied(pool.name)
        answer = await scrape(plane, accept="application/openmetrics-text; version=1.0.0")
        assert "openmetrics" in answer.headers["content-type"]
        exemplars = re.findall(
            r'tidegate_convergence_seconds_bucket\{.*\} \S+ # \{revision="(\d+)"\}', answer.text
        )
        assert exemplars == [str(pool.revision)]


async def test_the_page_lists_every_metric_with_its_type_and_labels(tmp_path):
    listed = {}
    for line in PAGE.read_text().splitlines():
        if match := re.match(r"\| `(tidegate_\w+)` \| (\w+) \| (.*?) \|", line):
            listed[match[1]] = (match[2], set(re.findall(r"`(\w+)`", match[3])))
    assert listed
    async with world(tmp_path, metrics_address=ANY) as (plane, client, _):
        pool = await client.pool("acme", "web")
        await client.applied(pool.name)
        now = await scraped(plane)
    served = {}
    for family in now.families.values():
        if family.name.endswith("_created"):
            continue  # when a series began: the library's own
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        served[name] = (family.type, labels)
    assert served == listed


@pytest.mark.parametrize("address", ["0.0.0.0:0", "203.0.113.9:18091", "[::]:0"])
async def test_beyond_loopback_it_refuses_to_start(tmp_path, address):
    with pytest.raises(FailedPrecondition, match="refusing to serve metrics") as error:
        async with running_plane(settings(tmp_path, metrics_address=address)):
            pass
    assert error.value.reason == "AUTHENTICATION_REQUIRED"


async def test_a_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(FailedPrecondition, match="cannot listen on"):
            async with running_plane(settings(tmp_path, metrics_address=address)):
                pass


async def test_nothing_listens_unless_it_is_asked_for(tmp_path):
    async with running_plane(settings(tmp_path)) as plane:
        assert plane.metrics_port == 0


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "unix:/tmp/x:1", ":80"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="HOST:PORT"):
        Settings(metrics_address=address)
