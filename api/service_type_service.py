"""ServiceTypeService: operators write, everyone reads."""

from api.caller import Context, caller_of
from api.resources import SERVICE_TYPES
from api.serving import Serving
from api.standard_methods import StandardMethods
from lbaas.store import service_types
from lbaas.v1 import service_type_pb2, service_type_service_pb2
from lbaas.v1.service_type_service_pb2_grpc import ServiceTypeServiceServicer


class ServiceTypeService(ServiceTypeServiceServicer):
    """Service types."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._methods = StandardMethods(SERVICE_TYPES, serving)

    async def CreateServiceType(
        self, request: service_type_service_pb2.CreateServiceTypeRequest, context: Context
    ) -> service_type_pb2.ServiceType:
        """Creates a service type."""
        caller_of(context).must_operate()
        return await self._methods.create(
            request,
            parent="",
            object_id=request.service_type_id,
            message=request.service_type if request.HasField("service_type") else None,
        )

    async def GetServiceType(
        self, request: service_type_service_pb2.GetServiceTypeRequest, context: Context
    ) -> service_type_pb2.ServiceType:
        """Gives one service type."""
        return await self._methods.get(request.name)

    async def ListServiceTypes(
        self, request: service_type_service_pb2.ListServiceTypesRequest, context: Context
    ) -> service_type_service_pb2.ListServiceTypesResponse:
        """Gives a page of service types."""
        found, token = await self._methods.page(request)
        return service_type_service_pb2.ListServiceTypesResponse(
            service_types=found, next_page_token=token
        )

    async def UpdateServiceType(
        self, request: service_type_service_pb2.UpdateServiceTypeRequest, context: Context
    ) -> service_type_pb2.ServiceType:
        """Updates a service type."""
        caller_of(context).must_operate()
        return await self._methods.update(request, message=request.service_type)

    async def DeleteServiceType(
        self, request: service_type_service_pb2.DeleteServiceTypeRequest, context: Context
    ) -> service_type_pb2.ServiceType:
        """Deletes a service type that nothing uses."""
        caller_of(context).must_operate()
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: service_types.delete(tx, request.name, etag=request.etag),
        )
