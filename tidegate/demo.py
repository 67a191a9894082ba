"""`tidegate demo`: the whole road on one machine, from an empty store to live traffic."""

import asyncio
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration

from lbaas.model.names import leaf
from lbaas.v1 import health_monitor_pb2, member_pb2, pool_pb2, vip_pb2
from lbaas.v1.enums_pb2 import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.v1.status_pb2 import OperatingStatus
from tidegate.demo_checks import check_statuses
from tidegate.demo_failure import DemoFailure
from tidegate.demo_http import DemoMember
from tidegate.demo_operator import Operator
from tidegate.demo_processes import Child, ControlPlane, DemoNode
from tidegate.demo_sessions import Scene, show_traffic
from tidegate.demo_tenant import Tenant
from tidegate.demo_words import created, left_out, say, statuses, to_try

_PROJECT = "projects/acme"
_POOL = f"{_PROJECT}/pools/web"
_VIP = f"{_PROJECT}/vips/web"
_NODES = ("e1", "e2")
_LOOPBACK = "127.0.0.1"
_LIMIT = 100
_SECOND = Duration(seconds=1)
_DRAIN = Duration(seconds=5)
_JOINED_WITHIN = 20.0
_ONLINE_WITHIN = 30.0
_NOTICED_WITHIN = 1.0


def run_demo(*, once: bool) -> None:
    """Runs the demo until Ctrl-C; with `once` it checks itself and ends.

    Raises:
        DemoFailure: something did not do what it should, or `once` was interrupted.
    """
    asyncio.run(_until_signal(once=once))


async def _until_signal(*, once: bool) -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The first of them ends it; a second one does not keep it from ending what it started.
        loop.add_signal_handler(each, told.set)
    story, signalled = asyncio.create_task(_demo(once=once)), asyncio.create_task(told.wait())
    await asyncio.wait((story, signalled), return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if story.done():
        await story
        return
    story.cancel()
    await asyncio.wait((story,))
    if not story.cancelled():
        await story
    if once:
        raise DemoFailure("interrupted before all of it was checked")
    say("\nended; nothing is left running")


async def _demo(*, once: bool) -> None:
    """Tells the story; then it stays, or ends with `once`.

    Raises:
        DemoFailure: something did not do what it should, or a process ended that should not.
    """
    async with _folder() as folder, AsyncExitStack() as ending:
        children: list[Child] = []
        watching: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as tasks:

                def watch(child: Child) -> None:
                    children.append(child)
                    watching.append(tasks.create_task(_fail_at_the_end_of(child)))

                plane, scene = await _story(folder, ending, watch)
                for task in watching:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        if once:
            say("\nall of it was checked and is as it should be")
            return
        to_try(plane.api, scene.address, jar=folder / "jar", member=scene.members[0].name)
        await asyncio.gather(*map(_tell_the_end_of, children), asyncio.Event().wait())


async def _story(
    folder: Path, ending: AsyncExitStack, watch: Callable[[Child], None]
) -> tuple[ControlPlane, Scene]:
    """Starts everything, has a tenant use it, and sends traffic; gives what there is then."""
    plane = await ControlPlane.started(folder)
    ending.push_async_callback(plane.child.stop)
    watch(plane.child)
    say(f"control plane  API {plane.api}, xDS {plane.xds}; all files are in {folder}")
    channel = grpc.aio.insecure_channel(plane.api, options=(("grpc.enable_http_proxy", 0),))
    ending.push_async_callback(channel.close, None)
    try:
        operator, tenant = Operator(channel), Tenant(channel, created)
        nodes: list[DemoNode] = []
        ending.push_async_callback(_stop, nodes)
        ping_refusal = await _nodes(operator, nodes, watch, folder=folder, plane=plane)
        members = [DemoMember(f"m{number}") for number in (1, 2, 3)]
        for member in members:
            await member.start()
            ending.push_async_callback(member.stop)
        say("members        " + ", ".join(f"{each.name} {each.address}" for each in members))
        address = await _create(tenant, members, ping_refusal=ping_refusal)
        await _online(tenant, members)
        scene = Scene(
            tenant=tenant, vip=_VIP, pool=_POOL, address=address, nodes=nodes, members=members
        )
        await show_traffic(scene)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            # If its process has ended, that is the failure, and comes in a moment.
            await asyncio.sleep(_NOTICED_WITHIN)
        raise DemoFailure(
            f"the API refused: {error.code().name}", [error.details() or ""]
        ) from error
    return plane, scene


async def _nodes(
    operator: Operator,
    nodes: list[DemoNode],
    watch: Callable[[Child], None],
    *,
    folder: Path,
    plane: ControlPlane,
) -> str:
    """Makes the fleet and starts its nodes, into `nodes`; gives why they offer no PING, or ""."""
    await operator.create_fleet("edge", vip_range="127.0.0.0/8")
    for name in _NODES:
        node = await DemoNode.started(folder, fleet="edge", node=name, plane=plane)
        nodes.append(node)
        watch(node.child)
    joined = await operator.joined("fleets/edge", _NODES, within=_JOINED_WITHIN)
    version = joined[0].envoy_version
    say(f"fleet edge     nodes {' and '.join(_NODES)}: an agent each, which runs Envoy {version}")
    return await operator.ping_refusal("fleets/edge", joined, within=_JOINED_WITHIN)


async def _create(tenant: Tenant, members: Sequence[DemoMember], *, ping_refusal: str) -> str:
    """Creates the load balancer in a tenant's order; gives the VIP's address and port."""
    say("\ntenant acme creates, through the API (time: from the commit until both nodes run it):")
    pool = pool_pb2.Pool(protocol=Protocol.HTTP, lb_method=LbMethod.ROUND_ROBIN)
    await tenant.create_pool(_POOL, pool, about="HTTP, ROUND_ROBIN")
    servers = {}
    for member in members:
        host, _, port = member.address.rpartition(":")
        servers[member.name] = member_pb2.Member(address=host, port=int(port), drain_timeout=_DRAIN)
    await tenant.create_members(_POOL, servers, about="each drains for 5 s when it is switched off")
    await tenant.create_monitor(
        f"{_PROJECT}/healthMonitors/web-check",
        health_monitor_pb2.HealthMonitor(
            type=HealthMonitorType.HTTP,
            delay=_SECOND,
            timeout=_SECOND,
            max_retries=2,
            url_path="/healthz",
        ),
        pool=_POOL,
        about="HTTP: GET /healthz every second",
    )
    if ping_refusal:
        left_out("no PING monitor", ping_refusal)
    else:
        await tenant.create_monitor(
            f"{_PROJECT}/healthMonitors/web-ping",
            health_monitor_pb2.HealthMonitor(
                type=HealthMonitorType.PING, delay=_SECOND, timeout=_SECOND, max_retries=2
            ),
            pool=_POOL,
            about="PING: an echo request every second",
        )
    port_number = _free_port()
    vip = vip_pb2.Vip(
        pool=_POOL,
        protocol=Protocol.HTTP,
        address=_LOOPBACK,
        port=port_number,
        session_persistence=vip_pb2.SessionPersistence(type=SessionPersistenceType.HTTP_COOKIE),
        connection_limit=_LIMIT,
    )
    about = f"{_LOOPBACK}:{port_number}, HTTP_COOKIE, at most {_LIMIT} connections"
    await tenant.create_vip(_VIP, vip, about=about)
    return f"{_LOOPBACK}:{port_number}"


async def _online(tenant: Tenant, members: Sequence[DemoMember]) -> None:
    """Waits until the checks have passed, and shows how each object is."""
    names = [_VIP, _POOL, *(f"{_POOL}/members/{member.name}" for member in members)]
    await tenant.becomes(names, OperatingStatus.ONLINE, within=_ONLINE_WITHIN)
    vip = await tenant.vip(_VIP)
    limits = ", ".join(
        f"{each.connection_limit} on {leaf(each.node)}" for each in vip.node_connection_limits
    )
    say(f"\nstatuses, by both nodes and their agents; the connection limit is {limits}:")
    rows = await tenant.statuses(_PROJECT)
    statuses(rows)
    check_statuses(rows, nodes=len(_NODES))


async def _fail_at_the_end_of(child: Child) -> None:
    await child.unforeseen_end()
    raise child.failure(f"{child.name} ended")


async def _tell_the_end_of(child: Child) -> None:
    await child.unforeseen_end()
    say(f"\n{child.name} ended with exit code {child.process.returncode}: {child.log}")


async def _stop(nodes: Sequence[DemoNode]) -> None:
    await asyncio.gather(*(node.stop() for node in nodes))


@asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    """Gives a folder that goes at the end, unless something failed: then it has the logs."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    try:
        yield folder
    except DemoFailure as failure:
        kept = f"logs are kept in {folder}: {', '.join(_logs(folder))}"
        raise DemoFailure(failure.what, [*failure.why, kept]) from failure
    except (asyncio.CancelledError, BrokenPipeError):
        shutil.rmtree(folder)  # it was ended, or nobody reads any more what it tells
        raise
    except Exception as error:
        error.add_note(f"logs are kept in {folder}")
        raise
    else:
        shutil.rmtree(folder)


def _logs(folder: Path) -> Sequence[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*.log"))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Gives the failure of several that came first."""
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
