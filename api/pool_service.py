"""PoolService."""

from api.caller import Context
from api.conversion.stats import show_pool_stats
from api.resources import POOLS
from api.serving import Serving
from api.standard_methods import StandardMethods
from lbaas.model.names import HEALTH_MONITOR
from lbaas.model.objects import Pool
from lbaas.store import pools
from lbaas.store.shelf import check_etag
from lbaas.store.transaction import Transaction
from lbaas.v1 import pool_pb2, pool_service_pb2
from lbaas.v1.pool_service_pb2_grpc import PoolServiceServicer


class PoolService(PoolServiceServicer):
    """Pools, and the monitors on them."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving
        self._methods = StandardMethods(POOLS, serving)

    async def CreatePool(
        self, request: pool_service_pb2.CreatePoolRequest, context: Context
    ) -> pool_pb2.Pool:
        """Creates a pool; it is placed right after."""
        return await self._methods.create(
            request,
            parent=request.parent,
            object_id=request.pool_id,
            message=request.pool if request.HasField("pool") else None,
        )

    async def GetPool(
        self, request: pool_service_pb2.GetPoolRequest, context: Context
    ) -> pool_pb2.Pool:
        """Gives one pool."""
        return await self._methods.get(request.name)

    async def ListPools(
        self, request: pool_service_pb2.ListPoolsRequest, context: Context
    ) -> pool_service_pb2.ListPoolsResponse:
        """Gives a page of pools."""
        found, token = await self._methods.page(request, parent=request.parent)
        return pool_service_pb2.ListPoolsResponse(pools=found, next_page_token=token)

    async def UpdatePool(
        self, request: pool_service_pb2.UpdatePoolRequest, context: Context
    ) -> pool_pb2.Pool:
        """Updates a pool."""
        return await self._methods.update(request, message=request.pool)

    async def DeletePool(
        self, request: pool_service_pb2.DeletePoolRequest, context: Context
    ) -> pool_pb2.Pool:
        """Deletes a pool without VIPs; with its members only by force."""
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: pools.delete(
                tx, request.name, etag=request.etag, force=request.force
            ),
        )

    async def AssociateHealthMonitor(
        self, request: pool_service_pb2.AssociateHealthMonitorRequest, context: Context
    ) -> pool_pb2.Pool:
        """Puts a monitor on a pool."""
        name, monitor, etag = request.name, request.health_monitor, request.etag
        return await self._methods.act(
            request,
            name=name,
            references=((HEALTH_MONITOR, "health_monitor", monitor),),
            action=lambda tx: _associate(tx, name, monitor, etag=etag),
        )

    async def DisassociateHealthMonitor(
        self, request: pool_service_pb2.DisassociateHealthMonitorRequest, context: Context
    ) -> pool_pb2.Pool:
        """Takes a monitor off a pool."""
        name, monitor, etag = request.name, request.health_monitor, request.etag
        return await self._methods.act(
            request,
            name=name,
            references=((HEALTH_MONITOR, "health_monitor", monitor),),
            action=lambda tx: _disassociate(tx, name, monitor, etag=etag),
        )

    async def GetPoolStats(
        self, request: pool_service_pb2.GetPoolStatsRequest, context: Context
    ) -> pool_pb2.PoolStats:
        """Gives the traffic of a pool."""
        await self._methods.get(request.name)
        return show_pool_stats(request.name, self._serving.traffic(request.name))


def _associate(tx: Transaction, name: str, monitor: str, *, etag: str) -> Pool:
    pool = pools.get(tx, name)
    check_etag(name, pool.record, etag)
    if monitor in pool.health_monitors:
        return pool  # said twice, done once
    return pools.associate(tx, name, monitor)


def _disassociate(tx: Transaction, name: str, monitor: str, *, etag: str) -> Pool:
    check_etag(name, pools.get(tx, name).record, etag)
    return pools.disassociate(tx, name, monitor)
