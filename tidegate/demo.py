"""`tidegate demo`: the whole road on one machine, from an empty store to live traffic."""

import asyncio
import shlex
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration

from lbaas.v1.enums_pb2 import HealthMonitorType, LbMethod, Protocol
from lbaas.v1.status_pb2 import ProvisioningStatus
from tidegate.demo_http import DemoMember, Reply, send
from tidegate.demo_processes import ControlPlane, DemoEnvoy, DemoFailure
from tidegate.demo_tenant import Tenant

__all__ = ["DemoFailure", "run_demo"]

_PROJECT = "projects/acme"
_POOL = f"{_PROJECT}/pools/web"
_MONITOR = f"{_PROJECT}/healthMonitors/web-check"
_VIP = f"{_PROJECT}/vips/web"
_REQUESTS = 60
_JOINED_WITHIN = 15.0
_HEALTHY_WITHIN = 15.0
_FAILED_WITHIN = 30.0


def run_demo(*, once: bool) -> None:
    """Runs the demo until Ctrl-C; with `once` it checks itself and ends.

    Raises:
        DemoFailure: something did not do what it should.
    """
    try:
        asyncio.run(_until_signal(once=once))
    except grpc.aio.AioRpcError as error:
        refused = f"the API refused: {error.code().name}"
        raise DemoFailure(refused, [error.details() or ""]) from error


async def _until_signal(*, once: bool) -> None:
    loop, story = asyncio.get_running_loop(), asyncio.create_task(_story(once=once))
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(each, story.cancel)
    try:
        await story
    except asyncio.CancelledError:
        _say("\nended; nothing is left running")


async def _story(*, once: bool) -> None:
    async with AsyncExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-demo-")))
        plane = await ControlPlane.started(folder)
        ending.push_async_callback(plane.child.stop)
        _say(f"control plane  API {plane.api}, xDS {plane.xds}, on SQLite in {folder}")
        tenant = Tenant(plane.api, _say)
        ending.push_async_callback(tenant.close)
        await tenant.create_fleet("edge", vip_range="127.0.0.0/8")
        node = await DemoEnvoy.started(folder, fleet="edge", node="e1", xds=plane.xds)
        ending.push_async_callback(node.child.stop)
        version = await tenant.node_joined("fleets/edge/nodes/e1", within=_JOINED_WITHIN)
        _say(f"envoy {version:<8} fleet edge, node e1, admin http://{node.admin}/")
        members = [DemoMember(f"m{number}") for number in (1, 2, 3)]
        for member in members:
            await member.start()
            ending.push_async_callback(member.stop)
        _say("members        " + ", ".join(f"{each.name} {each.address}" for each in members))
        address = await _create(tenant, members)
        hosts = {each.address: True for each in members}
        await node.health_becomes(_POOL, hosts, within=_HEALTHY_WITHIN)
        replies = await send(address, _REQUESTS)
        _show_spread(replies, members, address=address)
        active = await _show_statuses(tenant)
        _show_lines(plane.api, address)
        if once:
            check_traffic(replies, members, active=active)
            await _check_failure(node, members, address=address)
            _say("\nall of it was checked and is as it should be")
        else:
            _say("\nCtrl-C ends everything that was started here.")
            await asyncio.Event().wait()


async def _create(tenant: Tenant, members: Sequence[DemoMember]) -> str:
    """Creates the load balancer in a tenant's order; gives the VIP's address and port."""
    _say("\nas tenant acme, through the API:")
    await tenant.create_pool(_POOL, protocol=Protocol.HTTP, lb_method=LbMethod.ROUND_ROBIN)
    for member in members:
        host, _, port = member.address.rpartition(":")
        await tenant.create_member(f"{_POOL}/members/{member.name}", address=host, port=int(port))
    await tenant.create_monitor(
        _MONITOR,
        type_=HealthMonitorType.HTTP,
        delay=Duration(seconds=1),
        check_timeout=Duration(seconds=1),
        max_retries=2,
        url_path="/healthz",
    )
    await tenant.associate(_POOL, _MONITOR)
    free = _free_port()
    await tenant.create_vip(
        _VIP, pool=_POOL, protocol=Protocol.HTTP, address="127.0.0.1", port=free
    )
    return f"127.0.0.1:{free}"


def _show_spread(replies: Sequence[Reply], members: Sequence[DemoMember], *, address: str) -> None:
    counts = Counter(reply.body.strip() for reply in replies if reply.ok)
    _say(f"\n{len(replies)} requests to http://{address}/ through Envoy:")
    for member in members:
        _say(f"  {member.name}  {counts[member.name]:3}  {'#' * counts[member.name]}".rstrip())
    for reply, count in Counter(reply for reply in replies if not reply.ok).items():
        _say(f"  {count} failed: {reply}")


async def _show_statuses(tenant: Tenant) -> bool:
    """Prints every object's status; gives whether all are ACTIVE on the one node."""
    rows = await tenant.statuses(_PROJECT)
    width = max(len(name) for name, *_ in rows)
    _say("\nstatuses:")
    for name, status, applied, total in rows:
        word = ProvisioningStatus.Code.Name(status)
        _say(f"  {name:<{width}}  {word}  {applied}/{total} nodes")
    return all(row[1:] == (ProvisioningStatus.ACTIVE, 1, 1) for row in rows)


def _show_lines(api: str, address: str) -> None:
    call = shlex.join(
        ["grpcurl", "-plaintext", "-d", f'{{"name":"{_VIP}"}}', api, "lbaas.v1.VipService/GetVip"]
    )
    tidegate = Path(sys.executable).with_name("tidegate")
    known = shlex.quote(str(tidegate)) if tidegate.exists() else "tidegate"
    _say(f"\ntry:\n  curl http://{address}/")
    _say(f"  export TIDEGATE_SERVER={api} TIDEGATE_PROJECT=acme")
    for words in ("status", "why vip/web", "member drain web/m1 --wait=applied", "watch"):
        _say(f"  {known} {words}")
    _say(f"  {call}")


def check_traffic(replies: Sequence[Reply], members: Sequence[DemoMember], *, active: bool) -> None:
    """Checks that every member served, no request failed, and all is ACTIVE.

    Raises:
        DemoFailure: it is not so; every fault is named.
    """
    wrong = [f"a request failed: {reply}" for reply in replies if not reply.ok]
    served = {reply.body.strip() for reply in replies}
    wrong += [f"{each.name} served nothing" for each in members if each.name not in served]
    if not active:
        wrong.append("not every object is ACTIVE with 1/1 nodes")
    if wrong:
        raise DemoFailure("the demo is not as it should be", list(dict.fromkeys(wrong)))


async def _check_failure(node: DemoEnvoy, members: Sequence[DemoMember], *, address: str) -> None:
    """Stops a member; once Envoy sees it failed, no request may fail."""
    gone, began = members[0], time.monotonic()
    await gone.stop()
    await node.health_becomes(_POOL, {gone.address: False}, within=_FAILED_WITHIN)
    _say(f"\n{gone.name} stopped; Envoy saw it failed after {time.monotonic() - began:.1f} s")
    replies = await send(address, _REQUESTS)
    _show_spread(replies, members, address=address)
    failed = [str(reply) for reply in replies if not reply.ok]
    if failed:
        what = f"{len(failed)} requests failed after Envoy saw that {gone.name} had"
        raise DemoFailure(what, failed)
    if any(reply.body.strip() == gone.name for reply in replies):
        raise DemoFailure(f"{gone.name} is stopped and still served")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
