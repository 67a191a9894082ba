"""The composition root: the one place that builds every room and joins them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass

import structlog

from api.server import serve_api
from lbaas.model.rules import AddressPolicy
from lbaas.store import nodes as stored_nodes
from lbaas.store import rejections as stored_rejections
from lbaas.store import tombstones as stored_tombstones
from lbaas.store.store import Store
from tidegate.agents.hub import AgentHub
from tidegate.canary import Canaries
from tidegate.config import Settings
from tidegate.drains import Drains
from tidegate.feedback import Feedback
from tidegate.fleet_view import StreamsFleetView
from tidegate.limits import Limits
from tidegate.metrics import Metrics
from tidegate.metrics_door import scraped_at
from tidegate.moves import Moves
from tidegate.nodes import NodeRegister
from tidegate.pace import Pace
from tidegate.placing import Placing
from tidegate.proxyless import Proxyless, snapshot_of
from tidegate.reconcile import Reconcile
from tidegate.removals import Withholding
from tidegate.rendering import Renderings
from tidegate.sockets import refuse_taken
from tidegate.watcher import StreamWatcher
from xds.cache.cache import SnapshotCache
from xds.cache.guard import RemovalGuard
from xds.server import Server, serve
from xds.translate import BUILT

log = structlog.get_logger("tidegate.plane")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A running control plane: where it listens, and its rooms for benchmarks and tests."""

    api_port: int
    xds_port: int
    metrics_port: int
    store: Store
    cache: SnapshotCache
    xds: Server
    feedback: Feedback
    reconcile: Reconcile


async def _stop(server: Server) -> None:
    """Stops the xDS server and says what it has sent in its life."""
    await server.stop()
    log.info("stopped", **asdict(server.traffic))


@asynccontextmanager
async def running_plane(settings: Settings) -> AsyncIterator[Plane]:
    """Runs a control plane: the store first, then the first snapshots, then the doors.

    No Envoy is answered before every fleet's snapshot is complete (design: xds-server, 5), and
    no tenant before what it writes can be carried out. On leaving, doors close first, verdicts
    that wait are written, the store closes last.
    """
    policy = AddressPolicy.of(*map(str, settings.member_ranges_allowed))
    async with AsyncExitStack() as closing:
        store = await Store.open(settings.database, built=BUILT, address_policy=policy)
        closing.push_async_callback(store.close)
        cache = SnapshotCache(guard=RemovalGuard())
        renderings = Renderings()
        nodes = NodeRegister(lost_after=settings.lost_after.total_seconds())
        feedback = Feedback(store, cache, renderings, nodes)

        def known(fleet: str) -> bool:
            return cache.snapshot(fleet) is not None

        agents = AgentHub(store, nodes, known=known, save=feedback.save)
        limits = Limits(cache, nodes)
        withholding = Withholding(cache)
        canaries = Canaries(cache, nodes, fleets=lambda: placing.fleets, save=feedback.save)
        canaries.on_spread = feedback.spread
        pace = Pace(cache)
        view = StreamsFleetView(
            cache,
            renderings,
            feedback,
            nodes,
            agents,
            limits=limits,
            canaries=canaries,
            pace=pace,
            withholding=withholding,
        )
        agents.assessment.refusals = view.refusals
        placing = Placing(
            store, offered=view.effective, live_nodes=nodes.connected, serving=view.serving
        )
        drains = Drains(store)
        moves = Moves(
            store,
            nodes,
            placing,
            dead_after=settings.fleet_dead_after,
            overlap=settings.move_overlap,
            drain=settings.listener_drain,
        )
        proxyless = Proxyless(store, cache, renderings, agents)
        reconcile = Reconcile(
            store,
            cache,
            renderings,
            feedback,
            placing,
            followers=(canaries, limits, drains, moves, agents, pace, proxyless),
        )
        feedback.on_lost = agents.on_ability = reconcile.retry_unplaced
        nodes.on_counted.append(lambda _: reconcile.retry_unplaced())
        cache.observer = StreamWatcher(
            feedback, limits, pace, proxyless, nodes_changed=reconcile.retry_unplaced
        )
        nodes.restore(await store.read(stored_nodes.all))
        feedback.restore(
            await store.read(stored_rejections.all), await store.read(stored_tombstones.all)
        )
        await reconcile.load()
        feedback.doubt_unsettled()
        await agents.load()
        closing.push_async_callback(agents.ledger.flush)
        closing.push_async_callback(feedback.flush)
        refuse_taken(settings.xds_address)
        # Order across types, and one word for each node, need one stream of all types: see
        # docs/xds-conformance.md.
        xds_server = await serve(
            cache, settings.xds_address, fleet_of=snapshot_of, aggregated_only=True
        )
        closing.push_async_callback(_stop, xds_server)
        metrics = Metrics(nodes, xds_server.traffic, known=known)
        feedback.on_applied = metrics.applied
        metrics_port = await closing.enter_async_context(
            scraped_at(settings.metrics_address, metrics.registry)
        )
        refuse_taken(settings.api_address)
        api_server = await serve_api(
            store, view, settings.api_address, agents=agents, observe=metrics.called
        )
        closing.push_async_callback(api_server.stop)
        log.info("serving", api=api_server.port, xds=xds_server.port, metrics=metrics_port)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(reconcile.run()),
                tasks.create_task(feedback.run()),
                tasks.create_task(feedback.watch_nodes()),
                tasks.create_task(limits.run()),
                tasks.create_task(canaries.run()),
                tasks.create_task(drains.run()),
                tasks.create_task(moves.run()),
                tasks.create_task(agents.run()),
                tasks.create_task(pace.run()),
                tasks.create_task(proxyless.run()),
            ]
            try:
                yield Plane(
                    api_port=api_server.port,
                    xds_port=xds_server.port,
                    metrics_port=metrics_port,
                    store=store,
                    cache=cache,
                    xds=xds_server,
                    feedback=feedback,
                    reconcile=reconcile,
                )
            finally:
                for task in running:
                    task.cancel()
