"""Hundreds of changes, one after the other without waiting, while a VIP serves: nothing is lost."""

import functools
import random
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.json_format import ParseDict

from lbaas.v1 import (
    health_monitor_service_pb2,
    load_balancer_service_pb2,
    member_service_pb2,
    pool_service_pb2,
    vip_service_pb2,
)
from tests.features.tenant import FINE, METHODS, SLOW
from tests.features.test_isolation import UNBINDABLE
from tests.features.world import APPLIED, REJECTED, Client, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.load import Load
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until
from xds.cache import CLUSTER, LISTENER, ROUTE
from xds.cache.snapshot import Snapshot

SEED = 7
CHANGES = 250

Change = Callable[[], Awaitable[object]]


class Tenant:
    """One project with two pools, a monitor, and changes to choose from."""

    def __init__(self, client: Client, project: str, servers: list[Member], port: int) -> None:
        self.client = client
        self.project = project
        self.servers = servers
        self.port = port
        self.pools = [f"projects/{project}/pools/{name}" for name in ("one", "two")]
        self.check = f"projects/{project}/healthMonitors/check"
        self.vip = f"projects/{project}/vips/front"

    async def begin(self, **check: object) -> None:
        await self.client.monitor(self.project, "check", **check)
        for pool, servers in zip(self.pools, (self.servers[:2], self.servers[1:]), strict=True):
            await self.client.pool(self.project, pool.rsplit("/", 1)[-1])
            for server in servers:
                await self.client.member(pool, server.name, server.address)
        await self.client.vip(self.project, "front", pool=self.pools[0], port=self.port)

    async def vip_update(self, path: str, **fields: object) -> None:
        request = vip_service_pb2.UpdateVipRequest()
        ParseDict({"vip": {"name": self.vip, **fields}}, request)
        request.update_mask.paths.append(path)
        await self.client.vips.UpdateVip(request)

    async def pool_update(self, pool: str, **fields: object) -> None:
        request = pool_service_pb2.UpdatePoolRequest()
        ParseDict({"pool": {"name": pool, **fields}}, request)
        request.update_mask.paths.extend(fields)
        await self.client.pools.UpdatePool(request)

    async def member_update(self, name: str, **fields: object) -> None:
        request = member_service_pb2.UpdateMemberRequest()
        ParseDict({"member": {"name": name, **fields}}, request)
        request.update_mask.paths.extend(fields)
        await self.client.members.UpdateMember(request)

    async def monitor_update(self, **fields: object) -> None:
        request = health_monitor_service_pb2.UpdateHealthMonitorRequest()
        ParseDict({"health_monitor": {"name": self.check, **fields}}, request)
        request.update_mask.paths.extend(fields)
        await self.client.monitors.UpdateHealthMonitor(request)

    def harmless(self, choose: random.Random) -> Change:
        """A change in which the VIP goes on serving: one good member of each pool stays."""
        pool = choose.choice(self.pools)
        anchor = self.servers[0 if pool == self.pools[0] else 2]
        extra = self.servers[3]
        persistent = {"session_persistence": {"type": "SOURCE_IP"}} if choose.random() < 0.5 else {}
        name = f"{pool}/members/{extra.name}"
        drop = member_service_pb2.DeleteMemberRequest(name=name)
        part = pool_service_pb2.DisassociateHealthMonitorRequest(
            name=pool, health_monitor=self.check
        )
        bind = functools.partial
        return choose.choice(
            [
                bind(self.vip_update, "session_persistence", **persistent),
                bind(self.vip_update, "pool", pool=pool),
                bind(self.pool_update, pool, lb_method=choose.choice(METHODS)),
                bind(self.client.associate, pool, self.check),
                bind(self.client.pools.DisassociateHealthMonitor, part),
                bind(self.monitor_update, max_retries=choose.choice((1, 2, 3))),
                bind(self.client.member, pool, extra.name, extra.address),
                bind(self.client.members.DeleteMember, drop),
                bind(self.member_update, name, weight=choose.choice((0, 3))),
                bind(
                    self.member_update,
                    f"{pool}/members/{anchor.name}",
                    weight=choose.choice((1, 9)),
                ),
            ]
        )

    def reckless(self, choose: random.Random, mute: Member) -> Change:
        """A change without regard: bad addresses, mute members, whole trees gone and made anew."""
        pool = choose.choice(self.pools)
        server = choose.choice([*self.servers, mute])
        tree = {
            "pool": {
                "name": pool,
                "protocol": "HTTP",
                "lb_method": choose.choice(METHODS),
                "health_monitors": [self.check],
            },
            "health_monitors": [{"name": self.check, **SLOW}],
            "members": [
                {"name": f"{pool}/members/any", "address": server.host, "port": server.port}
            ],
            "vips": [{"name": self.vip, "port": self.port, "protocol": "HTTP"}],
        }
        tree["vips"][0]["address"] = choose.choice(("127.0.0.1", UNBINDABLE))
        gone = vip_service_pb2.DeleteVipRequest(name=self.vip)
        forest = load_balancer_service_pb2.DeleteTreeRequest(name=pool)
        up = choose.random() < 0.5
        bind = functools.partial
        return choose.choice(
            [
                bind(self.client.apply, tree),
                bind(self.client.trees.DeleteTree, forest),
                bind(self.client.vips.DeleteVip, gone),
                bind(self.client.vip, self.project, "front", pool=pool, port=self.port),
                bind(self.client.pool, self.project, pool.rsplit("/", 1)[-1]),
                bind(self.client.member, pool, server.name, server.address),
                bind(self.client.associate, pool, self.check),
                bind(self.vip_update, "admin_state_up", admin_state_up=up),
                bind(self.pool_update, pool, admin_state_up=up),
                self.harmless(choose),
            ]
        )


async def everything(client: Client) -> list[str]:
    """Every tenant's object that is left."""
    parent, most = "projects/-", 1000
    pools = await client.pools.ListPools(
        pool_service_pb2.ListPoolsRequest(parent=parent, page_size=most)
    )
    vips = await client.vips.ListVips(
        vip_service_pb2.ListVipsRequest(parent=parent, page_size=most)
    )
    checks = await client.monitors.ListHealthMonitors(
        health_monitor_service_pb2.ListHealthMonitorsRequest(parent=parent, page_size=most)
    )
    found = [*pools.pools, *vips.vips, *checks.health_monitors]
    for pool in pools.pools:
        members = await client.members.ListMembers(
            member_service_pb2.ListMembersRequest(parent=pool.name, page_size=most)
        )
        found.extend(members.members)
    return [each.name for each in found]


async def held(envoy: EnvoyProcess) -> dict[str, dict[str, str]]:
    """The versions that an Envoy runs; what warms is not among them."""
    found: dict[str, dict[str, str]] = {CLUSTER: {}, LISTENER: {}, ROUTE: {}}
    for section in (await envoy.config_dump())["configs"]:
        for each in section.get("dynamic_active_clusters", ()):
            found[CLUSTER][each["cluster"]["name"]] = each["version_info"]
        for each in section.get("dynamic_listeners", ()):
            if "active_state" in each:
                found[LISTENER][each["name"]] = each["active_state"]["version_info"]
        for each in section.get("dynamic_route_configs", ()):
            found[ROUTE][each["route_config"]["name"]] = each["version_info"]
    return found


def wanted(snapshot: Snapshot, bad: set[str]) -> dict[str, dict[str, str]]:
    return {
        type_url: {
            name: resource.version
            for name, resource in snapshot.of_type(type_url).items()
            if type_url == CLUSTER or name not in bad
        }
        for type_url in (CLUSTER, LISTENER, ROUTE)
    }


async def attempt(change: Change) -> bool:
    """Makes a change; tells whether it was taken."""
    code = None
    try:
        await change()
    except grpc.aio.AioRpcError as error:
        code = error.code()
    assert code is None or code in FINE, code
    return code is None


async def refused(client: Client) -> set[str]:
    """Waits until all is settled; gives what is in ERROR, which only what cannot be bound is."""
    found = set()
    for name in await everything(client):
        try:
            answer = await client.wait(name, seconds=5)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:  # it was on its way out
                raise
            continue
        assert answer.outcome in (APPLIED, REJECTED), f"{name} has not settled: {answer}"
        if answer.outcome == REJECTED:
            assert UNBINDABLE in answer.status_detail.message
            found.add(name)
    return found


async def test_under_random_changes_a_vip_serves_and_everything_settles(tmp_path):
    choose = random.Random(SEED)
    async with (
        world(tmp_path) as (plane, client, (envoy,)),
        await Member.start("a") as a,
        await Member.start("b") as b,
        await Member.start("c") as c,
        await Member.start("d") as d,
        await Member.start("mute", mode=Mode.MUTE) as mute,
    ):
        steady = Tenant(client, "steady", [a, b, c, d], free_port())
        await steady.begin()
        await client.applied(steady.vip)
        others = [Tenant(client, f"other{n}", [a, b, c, d], free_port()) for n in range(2)]
        for other in others:
            await other.begin(**SLOW)
        made = 0
        async with Load(f"127.0.0.1:{steady.port}", pause=0.005) as load:
            for _ in range(CHANGES):
                change = steady.harmless(choose)
                if choose.random() < 0.5:
                    change = choose.choice(others).reckless(choose, mute)
                made += await attempt(change)
                if choose.random() < 0.3:
                    await load.more(choose.choice((1, 10, 50)))
            await load.more(100)
        assert load.failed == 0, load.failures
        assert made > CHANGES / 2, made
        bad = await refused(client)
        assert steady.vip not in bad

        async def as_wanted() -> bool:
            snapshot = plane.cache.snapshot("edge")
            assert snapshot is not None
            return await held(envoy) == wanted(snapshot, bad)

        await until(as_wanted, within=5, what="Envoy runs what is wanted, and nothing else")
        (stream,) = plane.cache.streams("edge")
        assert {key.name for key in stream.pending} <= bad
