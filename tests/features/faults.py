"""Faults of one tenant among many others, and what they cost those others.

The API checks all that it is given, so what an Envoy refuses is put in behind it: a hook on the
translator spoils what one tenant's pool is rendered to.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from google.protobuf import any_pb2
from google.protobuf.json_format import ParseDict

from lbaas.model.objects import Fleet, PoolTree
from lbaas.v1 import member_service_pb2, pool_service_pb2, vip_service_pb2
from tests.features.fleets import agent_beside
from tests.features.world import APPLIED, Client, world
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tidegate import reconcile
from tidegate.plane import Plane
from xds.cache import CLUSTER, ENDPOINT, LISTENER, Key, NodeStream, Resource, Response
from xds.translate.tree import Rendered

TENANTS = 50
PER_SECOND = 20.0
BAD = "projects/bad/pools/web"
FRONT = "projects/bad/vips/front"
MUTE_TIMEOUT = "6s"
METHODS = ("ROUND_ROBIN", "LEAST_CONNECTIONS")


def no_filter_chains(listener: Listener) -> None:
    listener.ClearField("filter_chains")


def unknown_extension(cluster: Cluster) -> None:
    options = cluster.typed_extension_protocol_options["no.such.extension"]
    options.Pack(Cluster(name="anything"))


def no_time_to_connect(cluster: Cluster) -> None:
    cluster.connect_timeout.Clear()


def a_name_for_an_address(assignment: ClusterLoadAssignment) -> None:
    for locality in assignment.endpoints:
        for endpoint in locality.lb_endpoints:
            endpoint.endpoint.address.socket_address.address = "not-an-address"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one resource of the bad tenant.

    Attributes:
        type_url: of what is spoiled.
        message: its class.
        spoil: makes it bad.
        words: what the client is told of it, in lower case.
        named: whether Envoy's refusal names the resource.
    """

    type_url: str
    message: type[Any]
    spoil: Callable[[Any], None]
    words: str
    named: bool


FAULTS = {
    "listener": Fault(LISTENER, Listener, no_filter_chains, "filter chain", named=True),
    "cluster": Fault(CLUSTER, Cluster, unknown_extension, "no.such.extension", named=True),
    "constraint": Fault(CLUSTER, Cluster, no_time_to_connect, "timeout", named=False),
    "endpoint": Fault(ENDPOINT, ClusterLoadAssignment, a_name_for_an_address, "ip", named=False),
}


@dataclass(slots=True)
class Injection:
    """A fault that is on or off, and what was sent of what it spoiled.

    Attributes:
        fault: which; None spoils nothing.
        on: whether it is in what is rendered from now on.
        spoiled: the versions that it made.
        sent: how often each version of each resource was sent.
        largest: the most resources of one type that one response had.
    """

    fault: Fault | None = None
    on: bool = False
    spoiled: set[str] = field(default_factory=set)
    sent: Counter[tuple[Key, str]] = field(default_factory=Counter)
    largest: int = 1

    @property
    def most(self) -> int:
        """How often one spoiled version was sent, at most."""
        counts = [n for (_, version), n in self.sent.items() if version in self.spoiled]
        return max(counts, default=0)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Stands behind the translator, and before the wire."""
        real_translate, real_run = reconcile.translate, NodeStream.run

        def translate(tree: PoolTree, fleet: Fleet) -> dict[Key, Rendered]:
            made = real_translate(tree, fleet)
            if tree.pool.name != BAD or self.fault is None or not self.on:
                return made
            return {key: self._spoiled(key, each) for key, each in made.items()}

        def run(stream: NodeStream, now: float) -> list[Response]:
            responses = real_run(stream, now)
            for response in responses:
                self.largest = max(self.largest, len(response.resources))
                self.sent.update((each.key, each.version) for each in response.resources)
            return responses

        with (
            mock.patch.object(reconcile, "translate", translate),
            mock.patch.object(NodeStream, "run", run),
        ):
            yield

    def _spoiled(self, key: Key, rendered: Rendered) -> Rendered:
        fault = self.fault
        assert fault is not None
        if key.type_url != fault.type_url or key.name == FRONT:
            return rendered
        message = fault.message()
        any_pb2.Any.FromString(rendered.resource.body).Unpack(message)
        fault.spoil(message)
        bad = Resource.of(message)
        self.spoiled.add(bad.version)
        return Rendered(bad, rendered.objects)


def _tree(project: str, server: Member, port: int) -> dict[str, Any]:
    pool = f"projects/{project}/pools/web"
    vip = f"projects/{project}/vips/front"
    return {
        "pool": {"name": pool, "protocol": "HTTP", "lb_method": "ROUND_ROBIN"},
        "members": [{"name": f"{pool}/members/one", "address": server.host, "port": server.port}],
        "vips": [{"name": vip, "address": "127.0.0.1", "port": port, "protocol": "HTTP"}],
    }


@dataclass(slots=True)
class Crowd:
    """Fifty tenants that change what they have, one that has a fault, one Envoy with its agent.

    Attributes:
        delays: seconds from the call to ACTIVE of each change of the others.
        late: those of the others whose change was not live in time.
    """

    client: Client
    plane: Plane
    injection: Injection
    server: Member
    mute: Member
    delays: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    async def bad_change(self, number: int) -> str:
        """A change of the bad tenant, of what the fault is in; gives who is to blame for it."""
        fault = self.injection.fault
        if fault is None or fault.type_url == CLUSTER:
            methods = ("LEAST_CONNECTIONS", "SOURCE_IP")
            return await self.update_pool(BAD, methods[number % 2])
        if fault.type_url == ENDPOINT:
            return await self.update_member(BAD, 3 + number % 200)
        name = f"projects/bad/vips/second{number // 2}"
        if number % 2 == 0:
            await self.client.vip("bad", f"second{number // 2}", pool=BAD, port=free_port())
        else:
            request = vip_service_pb2.UpdateVipRequest()
            ParseDict({"vip": {"name": name, "connection_limit": 100 + number}}, request)
            await self.client.vips.UpdateVip(request)
        return name

    async def go_mute(self, number: int = 0) -> None:
        """The bad tenant's pool, in use, gets a mute member and a monitor that waits for it."""
        slow = {"delay": MUTE_TIMEOUT, "timeout": MUTE_TIMEOUT, "max_retries": 3}
        check = await self.client.monitor("bad", f"slow{number}", **slow)
        await self.client.member(BAD, f"mute{number}", self.mute.address)
        await self.client.associate(BAD, check.name)

    async def speak(self, number: int) -> None:
        """The mute member and its monitor go."""
        check = f"projects/bad/healthMonitors/slow{number}"
        await self.client.pools.DisassociateHealthMonitor(
            pool_service_pb2.DisassociateHealthMonitorRequest(name=BAD, health_monitor=check)
        )
        member = member_service_pb2.DeleteMemberRequest(name=f"{BAD}/members/mute{number}")
        await self.client.members.DeleteMember(member)
        await self.client.applied(BAD, seconds=30)

    async def update_pool(self, pool: str, method: str) -> str:
        request = pool_service_pb2.UpdatePoolRequest()
        ParseDict({"pool": {"name": pool, "lb_method": method}}, request)
        await self.client.pools.UpdatePool(request)
        return pool

    async def update_member(self, pool: str, weight: int) -> str:
        request = member_service_pb2.UpdateMemberRequest()
        ParseDict({"member": {"name": f"{pool}/members/one", "weight": weight}}, request)
        await self.client.members.UpdateMember(request)
        return f"{pool}/members/one"

    async def others(self, seconds: float, choose: random.Random) -> None:
        """Has the others change what they have, at their pace, and waits for each change."""
        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while number < seconds * PER_SECOND:
                number += 1
                await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
                project = f"t{choose.randrange(TENANTS)}"
                tasks.create_task(self._timed(self._change(project, number, choose.random())))

    async def _timed(self, change: Awaitable[str]) -> None:
        began = time.monotonic()
        name = await change
        answer = await self.client.wait(name, seconds=30)
        self.delays.append(time.monotonic() - began)
        if answer.outcome != APPLIED:
            self.late.append(f"{name}: {answer}")

    async def _change(self, project: str, number: int, kind: float) -> str:
        pool = f"projects/{project}/pools/web"
        if kind < 0.5:
            return await self.update_member(pool, 2 + number % 200)
        if kind < 0.75:
            return await self.update_pool(pool, METHODS[number % 2])
        if kind < 0.9:
            name, kept = f"projects/{project}/vips/front", {"type": "HTTP_COOKIE"}
            body = {"session_persistence": kept} if number % 2 else {}
            request = vip_service_pb2.UpdateVipRequest()
            ParseDict({"vip": {"name": name, **body}}, request)
            request.update_mask.paths.append("session_persistence")
            await self.client.vips.UpdateVip(request)
            return name
        port = free_port()
        made = await self.client.vip(project, f"v{port}", pool=pool, port=port)
        return str(made.name)


@contextlib.asynccontextmanager
async def crowd(folder: Path, injection: Injection) -> AsyncIterator[Crowd]:
    """Everybody's load balancers, live."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(injection.installed())
        plane, client, (envoy,) = await stack.enter_async_context(world(folder))
        await stack.enter_async_context(agent_beside(plane, envoy))
        server = await stack.enter_async_context(await Member.start("one"))
        mute = await stack.enter_async_context(await Member.start("mute", mode=Mode.MUTE))
        projects = ["bad", *(f"t{number}" for number in range(TENANTS))]
        for project in projects:
            await client.project(project)
            await client.apply(_tree(project, server, free_port()))
        for project in projects:
            await client.applied(f"projects/{project}/vips/front", seconds=30)
        yield Crowd(client, plane, injection, server, mute)
