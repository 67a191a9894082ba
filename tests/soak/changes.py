"""Tenants that change what they have all the time, chosen by a seed."""

import functools
import random
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.json_format import ParseDict

from lbaas.v1 import (
    health_monitor_service_pb2,
    load_balancer_pb2,
    load_balancer_service_pb2,
    member_service_pb2,
    pool_service_pb2,
    vip_service_pb2,
)
from tests.features.tenant import METHODS, SLOW
from tests.features.world import STATUS, Client
from tests.harness.members import Member

Change = Callable[[], Awaitable[object]]

PERSISTENCE: tuple[dict[str, str], ...] = (
    {},
    {"type": "SOURCE_IP"},
    {"type": "HTTP_COOKIE"},
    {"type": "HTTP_COOKIE", "cookie_name": "LB"},
    {"type": "APP_COOKIE", "cookie_name": "SESSION"},
)


def update(request: Any, what: str, body: dict[str, Any]) -> Any:
    """An update request with a mask of all that the body names, so that nothing can be cleared."""
    ParseDict({what: body}, request)
    request.update_mask.paths.extend(field for field in body if field != "name")
    return request


class Steady:
    """A tenant whose VIP's address is meant to serve throughout.

    Two pools, each with one member that stays; the VIP is on one of them, and is now and then
    replaced by another one on its address.
    """

    def __init__(self, project: str, servers: list[Member], port: int) -> None:
        self.project = project
        self.servers = servers
        self.port = port
        self.pools = [f"projects/{project}/pools/{name}" for name in ("one", "two")]
        self.checks = [f"projects/{project}/healthMonitors/{name}" for name in ("a", "b", "c")]
        self.vip = f"projects/{project}/vips/front-0"
        self._made = 0

    async def begin(self, client: Client) -> None:
        """Makes what serves throughout."""
        for pool, anchor in zip(self.pools, self.servers, strict=False):
            await client.pool(self.project, pool.rsplit("/", 1)[-1])
            await client.member(pool, "anchor", anchor.address)
        await client.vip(self.project, "front-0", pool=self.pools[0], port=self.port)

    def change(self, client: Client, choose: random.Random) -> Change:
        """One change of members, monitors, methods, persistence or the VIP."""
        kinds = [self._of_members] * 4 + [self._of_monitors] * 3 + [self._of_vip] * 3
        return choose.choice(kinds)(client, choose)

    def _of_members(self, client: Client, choose: random.Random) -> Change:
        pool, other = choose.sample(self.pools, 2)
        extra = choose.choice(self.servers[2:])
        name = f"{pool}/members/{extra.name}"
        new = {"weight": choose.choice((0, 1, 5)), "drain_timeout": choose.choice(("0s", "1s"))}
        bind, request = functools.partial, member_service_pb2.UpdateMemberRequest
        return choose.choice(
            [
                bind(client.member, pool, extra.name, extra.address, **new),
                bind(client.member, other, extra.name, extra.address, **new),
                bind(
                    client.members.DeleteMember, member_service_pb2.DeleteMemberRequest(name=name)
                ),
                bind(
                    client.members.MoveMember,
                    member_service_pb2.MoveMemberRequest(name=name, destination_pool=other),
                ),
                bind(
                    client.members.UpdateMember,
                    update(request(), "member", {"name": name, "weight": choose.choice((0, 2, 7))}),
                ),
                bind(
                    client.members.UpdateMember,
                    update(
                        request(),
                        "member",
                        {"name": name, "admin_state_up": choose.random() < 0.5, **new},
                    ),
                ),
                bind(
                    client.members.UpdateMember,
                    update(
                        request(),
                        "member",
                        {"name": f"{pool}/members/anchor", "weight": choose.choice((1, 3, 9))},
                    ),
                ),
            ]
        )

    def _of_monitors(self, client: Client, choose: random.Random) -> Change:
        pool, check = choose.choice(self.pools), choose.choice(self.checks)
        body = {
            "delay": choose.choice(("3s", "4s")),
            "timeout": "3s",  # a busy machine is not a failing member
            "max_retries": choose.choice((2, 3, 5)),
            "url_path": choose.choice(("/", "/healthz")),
            "http_method": choose.choice(("GET", "HEAD")),
        }
        bind, monitors = functools.partial, health_monitor_service_pb2
        part = pool_service_pb2.DisassociateHealthMonitorRequest(name=pool, health_monitor=check)
        return choose.choice(
            [
                bind(client.monitor, self.project, check.rsplit("/", 1)[-1], **body),
                bind(client.associate, pool, check),
                bind(client.associate, pool, check),
                bind(client.pools.DisassociateHealthMonitor, part),
                bind(
                    client.monitors.UpdateHealthMonitor,
                    update(
                        monitors.UpdateHealthMonitorRequest(),
                        "health_monitor",
                        {"name": check, **body},
                    ),
                ),
                bind(
                    client.monitors.DeleteHealthMonitor,
                    monitors.DeleteHealthMonitorRequest(name=check),
                ),
            ]
        )

    def _of_vip(self, client: Client, choose: random.Random) -> Change:
        pool = choose.choice(self.pools)
        persistence = choose.choice(PERSISTENCE)
        bind, method = functools.partial, choose.choice(METHODS)
        return choose.choice(
            [
                bind(self._persist, client, persistence),
                bind(self._persist, client, persistence),
                bind(self._repoint, client, pool),
                bind(
                    client.pools.UpdatePool,
                    update(
                        pool_service_pb2.UpdatePoolRequest(),
                        "pool",
                        {"name": pool, "lb_method": method},
                    ),
                ),
                bind(self._replace, client, persistence),
            ]
        )

    async def _persist(self, client: Client, persistence: dict[str, str]) -> None:
        request = vip_service_pb2.UpdateVipRequest()
        body = {"session_persistence": persistence} if persistence else {}
        ParseDict({"vip": {"name": self.vip, **body}}, request)
        request.update_mask.paths.append("session_persistence")
        await client.vips.UpdateVip(request)

    async def _repoint(self, client: Client, pool: str) -> None:
        request = vip_service_pb2.UpdateVipRequest()
        await client.vips.UpdateVip(update(request, "vip", {"name": self.vip, "pool": pool}))

    async def _replace(self, client: Client, persistence: dict[str, str]) -> None:
        """Another VIP takes the address: a tree that has it in place of the old one."""
        names = {vip.name for vip in await living_vips(client, self.project)}
        if self.vip not in names:  # replaced by a call whose answer was lost
            (self.vip,) = names
        now = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=self.vip))
        tree = await tree_of(client, now.pool)
        self._made += 1
        new = f"projects/{self.project}/vips/front-{self._made}"
        vip = {"name": new, "port": self.port, "protocol": "HTTP", "address": "127.0.0.1"}
        if persistence:
            vip["session_persistence"] = persistence
        ParseDict(vip, tree.vips.add())
        await client.trees.Apply(load_balancer_service_pb2.ApplyRequest(load_balancer=tree))
        self.vip = new


class Coming:
    """A tenant whose pool and VIP come and go, with a slow monitor and, at times, a mute member."""

    def __init__(self, project: str, servers: list[Member], port: int) -> None:
        self.project = project
        self.servers = servers
        self.port = port
        self.pool = f"projects/{project}/pools/web"

    def change(self, client: Client, choose: random.Random) -> Change:
        """The whole tree comes, changes or goes."""
        servers = choose.sample(self.servers, 2)
        check = {"name": f"projects/{self.project}/healthMonitors/check", **SLOW}
        vip = {"name": f"projects/{self.project}/vips/front", "address": "127.0.0.1"}
        vip |= {"port": self.port, "protocol": "HTTP"}
        if persistence := choose.choice(PERSISTENCE):
            vip["session_persistence"] = persistence
        tree = {
            "pool": {
                "name": self.pool,
                "protocol": "HTTP",
                "lb_method": choose.choice(METHODS),
            },
            "health_monitors": choose.choice(([], [check])),
            "members": [
                {"name": f"{self.pool}/members/{one.name}", "address": one.host, "port": one.port}
                for one in servers
            ],
            "vips": [vip],
        }
        gone = load_balancer_service_pb2.DeleteTreeRequest(name=self.pool)
        return choose.choice(
            [
                functools.partial(client.apply, tree),
                functools.partial(client.trees.DeleteTree, gone),
            ]
        )


async def living_vips(client: Client, project: str) -> list[Any]:
    """The VIPs of a project that are not being deleted."""
    request = vip_service_pb2.ListVipsRequest(parent=f"projects/{project}", page_size=1000)
    found = await client.vips.ListVips(request)
    return [vip for vip in found.vips if vip.provisioning_status != STATUS.PENDING_DELETE]


async def tree_of(client: Client, pool: str) -> load_balancer_pb2.LoadBalancer:
    """A pool as it is, with its members and without its VIPs, ready to be applied."""
    tree = load_balancer_pb2.LoadBalancer()
    found = await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=pool))
    tree.pool.CopyFrom(found)
    tree.pool.ClearField("etag")
    members = await client.members.ListMembers(
        member_service_pb2.ListMembersRequest(parent=pool, page_size=1000)
    )
    tree.members.extend(
        member for member in members.members if member.provisioning_status != STATUS.PENDING_DELETE
    )
    return tree


async def everything(client: Client) -> list[str]:
    """The names of all tenants' objects, those that are being deleted too."""
    most, parent = 1000, "projects/-"
    pools = pool_service_pb2.ListPoolsRequest(parent=parent, page_size=most)
    vips = vip_service_pb2.ListVipsRequest(parent=parent, page_size=most)
    checks = health_monitor_service_pb2.ListHealthMonitorsRequest(parent=parent, page_size=most)
    members = member_service_pb2.ListMembersRequest(parent=f"{parent}/pools/-", page_size=most)
    found = [
        *(await client.pools.ListPools(pools)).pools,
        *(await client.vips.ListVips(vips)).vips,
        *(await client.monitors.ListHealthMonitors(checks)).health_monitors,
        *(await client.members.ListMembers(members)).members,
    ]
    return [each.name for each in found]
