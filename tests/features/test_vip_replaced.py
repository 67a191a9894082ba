"""A VIP that takes over another one's address: one listener replaces the other, nobody notices."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from lbaas.model.objects import Record
from lbaas.model.rules import AddressPolicy
from lbaas.store import trees
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from lbaas.v1 import vip_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.fleets import control, node
from tests.features.tenant import GOOD, servers, serving, update_vip
from tests.features.world import Client, client_of, node_bootstrap, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import Connection
from tests.harness.load import Load
from tests.harness.members import Member
from tests.harness.waiting import until
from xds.translate import BUILT

PATIENT = 60
"""Seconds that a replaced listener keeps its connections: room for a busy machine."""


def tree(members: list[Member], *vips: dict[str, Any]) -> dict[str, Any]:
    """The pool of `serving` with these VIPs and no others."""
    return {
        "pool": {"name": GOOD, "protocol": "HTTP", "lb_method": "ROUND_ROBIN"},
        "members": [
            {"name": f"{GOOD}/members/{each.name}", "address": each.host, "port": each.port}
            for each in members
        ],
        "vips": list(vips),
    }


def vip(name: str, port: int, **fields: Any) -> dict[str, Any]:
    return {
        "name": f"projects/good/vips/{name}",
        "address": "127.0.0.1",
        "port": port,
        "protocol": "HTTP",
        **fields,
    }


async def gone(client: Client, name: str) -> bool:
    """Whether there is no such VIP any more."""
    try:
        await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=name))
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.NOT_FOUND
    return False


KEPT: tuple[dict[str, Any], ...] = (
    {},
    {"session_persistence": {"type": "SOURCE_IP"}},
    {"session_persistence": {"type": "HTTP_COOKIE"}},
)


@pytest.mark.parametrize("after", KEPT, ids=["none", "source", "cookie"])
@pytest.mark.parametrize("before", KEPT, ids=["none", "source", "cookie"])
async def test_apply_replaces_a_vip_by_another_on_its_address_without_a_gap(
    tmp_path, before, after
):
    async with contextlib.AsyncExitStack() as stack:
        plane, client = await stack.enter_async_context(control(tmp_path))
        await client.fleet("edge")
        envoy = await stack.enter_async_context(node(plane, drain_seconds=PATIENT))
        members = await stack.enter_async_context(servers(2))
        first, address = await serving(client, members, **before)
        port = int(address.rpartition(":")[2])
        async with await Connection.open(address) as early, Load(address, pause=0.005) as load:
            assert (await early.request("/")).status == 200
            await load.more(50)
            made = await client.apply(tree(members, vip("second", port, **after)))
            assert [each.name for each in made.vips] == ["projects/good/vips/second"]
            await client.applied("projects/good/vips/second")

            async def replaced() -> bool:
                return await gone(client, first)

            await until(replaced, within=10, what="the first VIP is gone")
            # A connection from before is served to its end, and told that this is it.
            reply = await early.request("/")
            assert (reply.status, reply.closes) == (200, True)
            await load.more(100)
        assert load.failed == 0, load.failures
        assert await envoy.listeners() == {"projects/good/vips/second": address}


async def committed(folder: Path, work: Callable[[Transaction], object]) -> None:
    """Writes to the store while no control plane runs: what one had committed when it died."""
    policy = AddressPolicy.of("127.0.0.0/8")
    url = f"sqlite:///{folder}/tidegate.db"
    store = await Store.open(url, built=BUILT, address_policy=policy)
    try:
        await store.write(work)
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("form", "before"),
    [
        ("delta", KEPT[0]),
        ("delta", KEPT[1]),
        ("delta", KEPT[2]),
        ("sotw", KEPT[0]),
        ("sotw", KEPT[2]),
    ],
    ids=["delta-none", "delta-source", "delta-cookie", "sotw-none", "sotw-cookie"],
)
async def test_a_control_plane_that_dies_between_commit_and_response_replaces_it_all_the_same(
    tmp_path, before, form
):
    async with ControlPlane(tmp_path) as plane, servers(2) as members:
        bootstrap = node_bootstrap("edge", "node-0", plane.xds_port)
        if form == "sotw":
            bootstrap["dynamic_resources"]["ads_config"]["api_type"] = "GRPC"
        async with EnvoyProcess(bootstrap, drain_seconds=PATIENT) as envoy:
            async with client_of(plane.api_port) as client:
                await client.fleet("edge")
                first, address = await serving(client, members, **before)
            async with Load(address, pause=0.005) as load:
                await load.more(50)
                await plane.kill()

                def replace(tx: Transaction) -> None:
                    tree = trees.read(tx, [GOOD])[0]
                    (old,) = tree.vips
                    new = dataclasses.replace(
                        old,
                        name="projects/good/vips/second",
                        session_persistence=None,
                        record=Record(),
                    )
                    trees.apply(tx, dataclasses.replace(tree, vips=(new,)))

                await committed(tmp_path, replace)
                await plane.start()
                async with client_of(plane.api_port) as client:
                    await client.applied("projects/good/vips/second")

                    async def replaced() -> bool:
                        return await gone(client, first)

                    await until(replaced, within=20, what="the first VIP is gone")
                await load.more(50)
            assert load.failed == 0, load.failures
            assert await envoy.listeners() == {"projects/good/vips/second": address}


async def test_a_vip_in_service_goes_to_a_new_cluster_when_its_members_were_checked(tmp_path):
    source = {"session_persistence": {"type": "SOURCE_IP"}}
    async with world(tmp_path) as (_, client, _), servers(2) as (one, two):
        name, address = await serving(client, [one], **source)
        other = await client.pool("good", "other")
        await client.member(other.name, two.name, two.address)
        await client.monitor("good", "slow", delay="5s", timeout="5s")
        await client.associate(other.name, "projects/good/healthMonitors/slow")
        await client.applied(other.name)
        # For clients that are kept by their address the pool gets a cluster of its own: new, and
        # with members that are checked anew.
        two.check_delay = 1.0
        async with Load(address, pause=0.005) as load:
            await load.more(20)
            await update_vip(client, name, "pool", pool=other.name)
            await load.more(50)
        assert load.failed == 0, load.failures
        assert load.served["m1"] > 0
