"""FleetService: fleets for operators; nodes, which nobody writes."""

import structlog

from api.caller import Context, caller_of
from api.conversion.nodes import show_node
from api.conversion.reading import Reading
from api.resources import FLEETS
from api.serving import Serving
from api.standard_methods import StandardMethods
from lbaas.model.errors import FailedPrecondition, NotFound
from lbaas.model.filter import parse
from lbaas.model.names import FLEET, NODE, check_name, fleet_of_node
from lbaas.model.objects import Fleet, HeldRemovals, NodeView, Rejection
from lbaas.store import fleets, rejections
from lbaas.store.shelf import check_etag
from lbaas.store.transaction import Transaction
from lbaas.v1 import fleet_pb2, fleet_service_pb2
from lbaas.v1.fleet_service_pb2_grpc import FleetServiceServicer

log = structlog.get_logger("tidegate.api")

_EVERY_FLEET = "fleets/-"


class FleetService(FleetServiceServicer):
    """Fleets and their nodes."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving
        self._methods = StandardMethods(FLEETS, serving)

    async def CreateFleet(
        self, request: fleet_service_pb2.CreateFleetRequest, context: Context
    ) -> fleet_pb2.Fleet:
        """Creates a fleet; pools that fit nowhere else may be placed on it."""
        caller_of(context).must_operate()
        return await self._methods.create(
            request,
            parent="",
            object_id=request.fleet_id,
            message=request.fleet if request.HasField("fleet") else None,
        )

    async def GetFleet(
        self, request: fleet_service_pb2.GetFleetRequest, context: Context
    ) -> fleet_pb2.Fleet:
        """Gives one fleet."""
        caller_of(context).must_operate()
        return await self._methods.get(request.name)

    async def ListFleets(
        self, request: fleet_service_pb2.ListFleetsRequest, context: Context
    ) -> fleet_service_pb2.ListFleetsResponse:
        """Gives a page of fleets."""
        caller_of(context).must_operate()
        found, token = await self._methods.page(request)
        return fleet_service_pb2.ListFleetsResponse(fleets=found, next_page_token=token)

    async def UpdateFleet(
        self, request: fleet_service_pb2.UpdateFleetRequest, context: Context
    ) -> fleet_pb2.Fleet:
        """Updates a fleet; pools that it carries stay."""
        caller_of(context).must_operate()
        return await self._methods.update(request, message=request.fleet)

    async def DeleteFleet(
        self, request: fleet_service_pb2.DeleteFleetRequest, context: Context
    ) -> fleet_pb2.Fleet:
        """Deletes a fleet that carries nothing."""
        caller_of(context).must_operate()
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: fleets.delete(tx, request.name, etag=request.etag),
        )

    async def DrainFleet(
        self, request: fleet_service_pb2.DrainFleetRequest, context: Context
    ) -> fleet_pb2.Fleet:
        """Has a fleet take no new pools and give away those it carries."""
        caller_of(context).must_operate()
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: _set_draining(tx, request.name, etag=request.etag, draining=True),
        )

    async def UndrainFleet(
        self, request: fleet_service_pb2.UndrainFleetRequest, context: Context
    ) -> fleet_pb2.Fleet:
        """Has a fleet take pools again."""
        caller_of(context).must_operate()
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: _set_draining(tx, request.name, etag=request.etag, draining=False),
        )

    async def AllowRemovals(
        self, request: fleet_service_pb2.AllowRemovalsRequest, context: Context
    ) -> fleet_pb2.Fleet:
        """Lets the removals go that are withheld now, and puts on record who said so."""
        caller = caller_of(context)
        caller.must_operate()
        held = self._serving.view.held_removals(request.name)
        answer = await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: _allow_removals(tx, request.name, etag=request.etag, held=held),
        )
        if not request.validate_only:
            log.warning("an operator allowed removals", fleet=request.name, caller=caller.subject)
        return answer

    async def GetNode(
        self, request: fleet_service_pb2.GetNodeRequest, context: Context
    ) -> fleet_pb2.Node:
        """Gives one node, as the streams know it now."""
        caller_of(context).must_operate()
        reading = Reading()
        reading.add(check_name(NODE, request.name))
        reading.finish()
        fleet = fleet_of_node(request.name)
        refused = await self._serving.store.read(lambda tx: _refused(tx, fleet))
        for node in self._serving.view.nodes(fleet):
            if node.name == request.name:
                unsettled = self._serving.view.unsettled(node.name)
                return show_node(node, refused[fleet].get(node.name, ()), unsettled)
        raise NotFound(NODE.title, request.name)

    async def ListNodes(
        self, request: fleet_service_pb2.ListNodesRequest, context: Context
    ) -> fleet_service_pb2.ListNodesResponse:
        """Gives a page of a fleet's nodes, or of every fleet's, as the streams know them now."""
        caller_of(context).must_operate()
        parent = request.parent
        reading = Reading()
        if parent != _EVERY_FLEET:
            reading.add(check_name(FLEET, parent, field="parent"))
        reading.finish()
        page = self._serving.pager.page(
            page_size=request.page_size,
            page_token=request.page_token,
            collection=NODE.pattern,
            scope=f"{parent}\0{request.filter}",
        )
        wanted = parse(request.filter, NodeView)
        refused = await self._serving.store.read(lambda tx: _refused(tx, parent))
        found = sorted(
            (
                node
                for fleet in refused
                for node in self._serving.view.nodes(fleet)
                if node.name > page.after and wanted.matches(node)
            ),
            key=lambda node: node.name,
        )
        shown = [
            show_node(node, refused[fleet_of_node(node.name)].get(node.name, ()))
            for node in found[: page.size]
        ]
        more = len(found) > page.size
        return fleet_service_pb2.ListNodesResponse(
            nodes=shown, next_page_token=page.token(shown[-1].name) if more else ""
        )


def _set_draining(tx: Transaction, name: str, *, etag: str, draining: bool) -> Fleet:
    check_etag(name, fleets.get(tx, name).record, etag)
    return fleets.set_draining(tx, name, draining)


def _allow_removals(tx: Transaction, name: str, *, etag: str, held: HeldRemovals | None) -> Fleet:
    fleets.get(tx, name)
    if held is None:
        raise FailedPrecondition(
            f"no removals are withheld on fleet {name!r}", reason="NOTHING_HELD", subject=name
        )
    return fleets.allow_removals(tx, name, etag=etag)


def _refused(tx: Transaction, parent: str) -> dict[str, dict[str, tuple[Rejection, ...]]]:
    """Gives what each node of each fleet asked for refuses; NotFound where there is none such."""
    asked = fleets.every(tx) if parent == _EVERY_FLEET else (fleets.get(tx, parent),)
    found: dict[str, dict[str, tuple[Rejection, ...]]] = {fleet.name: {} for fleet in asked}
    for rejection in rejections.all(tx):
        if (nodes := found.get(rejection.fleet)) is not None:
            nodes[rejection.node] = (*nodes.get(rejection.node, ()), rejection)
    return found
