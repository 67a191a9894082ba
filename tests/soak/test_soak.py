"""Minutes of changes under load, with and without a control plane that is killed: nothing fails.

Prints how it goes: `make test-soak`.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from lbaas.v1 import fleet_pb2, fleet_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.tenant import FINE
from tests.features.world import Client, client_of, node_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.load import Load
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.soak.changes import Change, Coming, Steady, everything

SEEDS = (1, 2, 3)
SECONDS = 60.0
CHANGES = 300
TOLD_EVERY = 25
"""Changes between two lines that say how it goes."""
RESTARTS = 5
REQUESTS = 50_000
"""Requests that the seeds together make at least, none of which fails."""

STEADY = 3
COMING = 4
CARRIED_OUT = 0.02
"""Seconds in which a change that was taken reaches the Envoys, about: when it is killed."""

NEAR = 2.0
"""Seconds before a request failed whose changes are told with it."""

DRAIN_SECONDS = 10
"""How long a replaced listener keeps its connections: room for a client that the machine delays."""


@dataclass(slots=True)
class Soak:
    """A fleet under load, and what was done to it.

    Attributes:
        made: changes that were taken.
        refused: changes that were answered with an error, as random ones are at times.
        restarts: how often the control plane was killed and started again.
    """

    plane: ControlPlane
    envoys: list[EnvoyProcess]
    steady: list[Steady]
    coming: list[Coming]
    loads: list[Load]
    choose: random.Random
    when: random.Random
    began: float = field(default_factory=time.monotonic)
    made: int = 0
    refused: int = 0
    restarts: int = 0
    notes: list[tuple[float, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def requests(self) -> int:
        """Requests so far."""
        return sum(load.total for load in self.loads)

    @property
    def failed(self) -> int:
        """Those that failed."""
        return sum(load.failed for load in self.loads)

    def line(self) -> str:
        """What there is to say of it now."""
        return (
            f"{time.monotonic() - self.began:5.1f} s: {self.requests} requests,"
            f" {self.failed} failed, {self.made} changes ({self.refused} refused),"
            f" {self.restarts} restarts"
        )

    def note(self, what: str) -> None:
        """Keeps what happened when, for the case that requests fail."""
        self.notes.append((time.monotonic(), what))

    def story(self) -> list[str]:
        """The requests that failed, among what happened in the seconds before."""
        failed = [
            (at, f"FAILED {tenant.vip}: {why}")
            for load, tenant in zip(self.loads, self.steady, strict=True)
            for at, why in load.failed_at
        ]
        near = [
            (at, what)
            for at, what in self.notes
            if any(0 <= when - at < NEAR for when, _ in failed)
        ]
        return [f"{at - self.began:7.3f} {what}" for at, what in sorted([*near, *failed])]

    def next_change(self, client: Client) -> Change:
        """A change of someone."""
        if self.choose.random() < 0.75:
            return self.choose.choice(self.steady).change(client, self.choose)
        return self.choose.choice(self.coming).change(client, self.choose)

    async def change(self) -> None:
        """Makes its changes, each at its time, or as soon as a control plane takes it."""
        async with client_of(self.plane.api_port) as client:
            while self.made < CHANGES:
                due = self.began + (self.made + 1) * SECONDS / CHANGES
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                change = self.next_change(client)
                code = await taken(change, client)
                self.note(f"{described(change)} {code.name if code else ''}")
                if code is None:
                    self.made += 1
                    self.changed.set()
                    if self.made % TOLD_EVERY == 0:
                        print(self.line(), flush=True)  # noqa: T201 - it runs for minutes
                else:
                    assert code in FINE, described(change)
                    self.refused += 1

    async def restart(self, times: int) -> None:
        """Kills the control plane as it carries out a change, and starts it again."""
        for number in range(times):
            due = self.began + (number + self.when.uniform(0.3, 0.9)) * SECONDS / times
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.changed.clear()
            await self.changed.wait()
            await asyncio.sleep(self.when.uniform(0.0, CARRIED_OUT))
            self.note("kill")
            await self.plane.kill()
            await self.plane.start()
            self.note("started")
            self.restarts += 1

    async def more(self, requests: float) -> None:
        """Goes on, where the machine is busy, until so many requests were made in all."""
        missing = math.ceil((requests - self.requests) / len(self.loads))
        if missing > 0:
            await asyncio.gather(*(load.more(missing, within=300) for load in self.loads))


def described(change: Change) -> str:
    """A change in a few words."""
    function = getattr(change, "func", change)
    name = getattr(function, "__qualname__", "") or repr(getattr(function, "_method", function))
    given = " ".join(str(each) for each in getattr(change, "args", ())[:4])
    return " ".join(f"{name} {given} {getattr(change, 'keywords', '')}".split())


async def taken(change: Change, client: Client) -> grpc.StatusCode | None:
    """Makes a change, again when there is a control plane; gives what it was refused with."""
    while True:
        try:
            await change()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                return error.code()
            await client.channel.channel_ready()
        else:
            return None


def state_of_the_world(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """The same node, with the other form of the protocol."""
    bootstrap["dynamic_resources"]["ads_config"]["api_type"] = "GRPC"
    return bootstrap


@contextlib.asynccontextmanager
async def soak(folder: Path, *, seed: int, forms: tuple[str, ...]) -> AsyncIterator[Soak]:
    """A control plane that is a process, two Envoys, tenants, and clients of their VIPs."""
    async with contextlib.AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane(folder))
        client = await stack.enter_async_context(client_of(plane.api_port))
        await client.fleet("edge")
        envoys = []
        for number, form in enumerate(forms):
            bootstrap = node_bootstrap("edge", f"node-{number}", plane.xds_port)
            if form == "sotw":
                bootstrap = state_of_the_world(bootstrap)
            envoy = EnvoyProcess(bootstrap, drain_seconds=DRAIN_SECONDS)
            envoys.append(await stack.enter_async_context(envoy))
            await envoy.wait_ready()
        servers = [
            await stack.enter_async_context(await Member.start(f"m{number}")) for number in range(6)
        ]
        mute = await stack.enter_async_context(await Member.start("mute", mode=Mode.MUTE))
        steady = [Steady(f"steady{n}", servers, free_port()) for n in range(STEADY)]
        coming = [Coming(f"coming{n}", [*servers[:3], mute], free_port()) for n in range(COMING)]
        for tenant in steady:
            await client.project(tenant.project)
            await tenant.begin(client)
            await client.applied(tenant.vip)
        loads = [
            Load(f"127.0.0.1:{tenant.port}", keep_alive=4, per_request=3, pause=0.03)
            for tenant in steady
        ]
        made = Soak(plane, envoys, steady, coming, loads, random.Random(seed), random.Random(-seed))
        for load in loads:
            await stack.enter_async_context(load)
        yield made


async def settled(client: Client) -> None:
    """Waits until every object is live or gone; none is refused."""
    for name in await everything(client):
        try:
            await client.applied(name, seconds=30)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:  # it was on its way out
                raise


async def synced(client: Client) -> bool:
    """Whether every node holds what it should, and nothing is pending."""
    request = fleet_service_pb2.ListNodesRequest(parent="fleets/edge")
    nodes = (await client.fleets.ListNodes(request)).nodes
    return all(node.state == fleet_pb2.NodeState.SYNCED and not node.pending for node in nodes)


async def runs(envoy: EnvoyProcess) -> dict[str, dict[str, Any]]:
    """What an Envoy runs: clusters, listeners and routes by name, without their versions."""
    found: dict[str, dict[str, Any]] = {"clusters": {}, "listeners": {}, "routes": {}}
    for section in (await envoy.config_dump())["configs"]:
        for each in section.get("dynamic_active_clusters", ()):
            found["clusters"][each["cluster"]["name"]] = each["cluster"]
        for each in section.get("dynamic_listeners", ()):
            if "active_state" in each:
                found["listeners"][each["name"]] = each["active_state"]["listener"]
        for each in section.get("dynamic_route_configs", ()):
            found["routes"][each["route_config"]["name"]] = each["route_config"]
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("restarts", "forms"),
    [(0, ("delta", "sotw")), (RESTARTS, ("delta", "delta"))],
    ids=["steady", "killed"],
)
async def test_no_request_fails_while_everything_changes(
    tmp_path: Path, seed: int, restarts: int, forms: tuple[str, ...]
):
    async with soak(tmp_path, seed=seed, forms=forms) as it:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(it.change())
            tasks.create_task(it.restart(restarts))
        await it.more(REQUESTS / len(SEEDS))
        print(f"seed {seed}: {it.line()}", flush=True)  # noqa: T201 - what it has shown
        assert it.failed == 0, "\n".join(it.story())
        async with client_of(it.plane.api_port) as client:
            await settled(client)

            async def so() -> bool:
                return await synced(client)

            await until(so, within=30, what="every node is in step")
            names = {name for name in await everything(client) if "/vips/" in name}

        async def the_same() -> bool:
            first, second = [await runs(envoy) for envoy in it.envoys]
            return first == second and set(first["listeners"]) == names

        await until(the_same, within=15, what="both nodes run the same, and nothing else")
        assert (it.made, it.restarts) == (CHANGES, restarts)
        assert it.requests >= REQUESTS / len(SEEDS)
