"""VipService."""

from api.caller import Context
from api.conversion.stats import show_vip_stats
from api.resources import VIPS
from api.serving import Serving
from api.standard_methods import StandardMethods
from lbaas.store import vips
from lbaas.v1 import vip_pb2, vip_service_pb2
from lbaas.v1.vip_service_pb2_grpc import VipServiceServicer


class VipService(VipServiceServicer):
    """VIPs."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving
        self._methods = StandardMethods(VIPS, serving)

    async def CreateVip(
        self, request: vip_service_pb2.CreateVipRequest, context: Context
    ) -> vip_pb2.Vip:
        """Creates a VIP on a pool."""
        return await self._methods.create(
            request,
            parent=request.parent,
            object_id=request.vip_id,
            message=request.vip if request.HasField("vip") else None,
        )

    async def GetVip(self, request: vip_service_pb2.GetVipRequest, context: Context) -> vip_pb2.Vip:
        """Gives one VIP."""
        return await self._methods.get(request.name)

    async def ListVips(
        self, request: vip_service_pb2.ListVipsRequest, context: Context
    ) -> vip_service_pb2.ListVipsResponse:
        """Gives a page of VIPs."""
        found, token = await self._methods.page(request, parent=request.parent)
        return vip_service_pb2.ListVipsResponse(vips=found, next_page_token=token)

    async def UpdateVip(
        self, request: vip_service_pb2.UpdateVipRequest, context: Context
    ) -> vip_pb2.Vip:
        """Updates a VIP."""
        return await self._methods.update(request, message=request.vip)

    async def DeleteVip(
        self, request: vip_service_pb2.DeleteVipRequest, context: Context
    ) -> vip_pb2.Vip:
        """Deletes a VIP."""
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: vips.delete(tx, request.name, etag=request.etag),
        )

    async def GetVipStats(
        self, request: vip_service_pb2.GetVipStatsRequest, context: Context
    ) -> vip_pb2.VipStats:
        """Gives the traffic of a VIP."""
        await self._methods.get(request.name)
        return show_vip_stats(request.name, self._serving.traffic(request.name))
