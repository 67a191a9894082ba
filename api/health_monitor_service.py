"""HealthMonitorService."""

from api.caller import Context
from api.resources import HEALTH_MONITORS
from api.serving import Serving
from api.standard_methods import StandardMethods
from lbaas.store import health_monitors
from lbaas.v1 import health_monitor_pb2, health_monitor_service_pb2
from lbaas.v1.health_monitor_service_pb2_grpc import HealthMonitorServiceServicer


class HealthMonitorService(HealthMonitorServiceServicer):
    """Health monitors."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._methods = StandardMethods(HEALTH_MONITORS, serving)

    async def CreateHealthMonitor(
        self, request: health_monitor_service_pb2.CreateHealthMonitorRequest, context: Context
    ) -> health_monitor_pb2.HealthMonitor:
        """Creates a monitor; it checks nothing until it is associated with a pool."""
        return await self._methods.create(
            request,
            parent=request.parent,
            object_id=request.health_monitor_id,
            message=request.health_monitor if request.HasField("health_monitor") else None,
        )

    async def GetHealthMonitor(
        self, request: health_monitor_service_pb2.GetHealthMonitorRequest, context: Context
    ) -> health_monitor_pb2.HealthMonitor:
        """Gives one monitor."""
        return await self._methods.get(request.name)

    async def ListHealthMonitors(
        self, request: health_monitor_service_pb2.ListHealthMonitorsRequest, context: Context
    ) -> health_monitor_service_pb2.ListHealthMonitorsResponse:
        """Gives a page of monitors."""
        found, token = await self._methods.page(request, parent=request.parent)
        return health_monitor_service_pb2.ListHealthMonitorsResponse(
            health_monitors=found, next_page_token=token
        )

    async def UpdateHealthMonitor(
        self, request: health_monitor_service_pb2.UpdateHealthMonitorRequest, context: Context
    ) -> health_monitor_pb2.HealthMonitor:
        """Updates a monitor, on all pools that have it."""
        return await self._methods.update(request, message=request.health_monitor)

    async def DeleteHealthMonitor(
        self, request: health_monitor_service_pb2.DeleteHealthMonitorRequest, context: Context
    ) -> health_monitor_pb2.HealthMonitor:
        """Deletes a monitor that no pool has."""
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: health_monitors.delete(tx, request.name, etag=request.etag),
        )
