"""The demo's operator: a fleet, and the nodes that join it."""

import asyncio
from collections.abc import Collection, Sequence

import grpc

from lbaas.model.names import leaf
from lbaas.v1 import fleet_pb2
from lbaas.v1.enums_pb2 import HealthMonitorType
from lbaas.v1.fleet_service_pb2 import CreateFleetRequest, GetFleetRequest, ListNodesRequest
from lbaas.v1.fleet_service_pb2_grpc import FleetServiceStub
from tidegate.demo_failure import DemoFailure

_POLL = 0.05


class Operator:
    """Calls as an operator would make them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes a channel to the API; it stays the caller's to close."""
        self._fleets = FleetServiceStub(channel)

    async def create_fleet(self, fleet_id: str, *, vip_range: str) -> None:
        """Registers a fleet."""
        fleet = fleet_pb2.Fleet(vip_ranges=[vip_range])
        await self._fleets.CreateFleet(CreateFleetRequest(fleet_id=fleet_id, fleet=fleet))

    async def joined(
        self, fleet: str, nodes: Collection[str], *, within: float
    ) -> Sequence[fleet_pb2.Node]:
        """Waits until nodes are in step with their fleet and their agents report; gives them.

        Args:
            fleet: the fleet's name.
            nodes: the ids that are to join.
            within: seconds.

        Raises:
            DemoFailure: they do not within the time.
        """
        found: Sequence[fleet_pb2.Node] = ()
        try:
            async with asyncio.timeout(within):
                while True:
                    # Watch tells of tenants' objects, not of nodes.
                    answer = await self._fleets.ListNodes(ListNodesRequest(parent=fleet))
                    found = [each for each in answer.nodes if leaf(each.name) in nodes]
                    if len(found) == len(nodes) and all(map(_ready, found)):
                        return found
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            states = {leaf(each.name): _words(each) for each in found}
            why = [f"node {node}: {states.get(node, 'has not connected')}" for node in nodes]
            raise DemoFailure(f"not every node joined within {within:g} s", why) from error

    async def ping_refusal(
        self, fleet: str, nodes: Sequence[fleet_pb2.Node], *, within: float
    ) -> str:
        """Gives why the fleet offers no PING monitors, "" once it does.

        Raises:
            DemoFailure: its agents can ping, and it does not offer it within the time (seconds).
        """
        for node in nodes:
            if node.agent.ping_refusal:
                return node.agent.ping_refusal
        try:
            async with asyncio.timeout(within):
                while True:
                    found = await self._fleets.GetFleet(GetFleetRequest(name=fleet))
                    offered = found.effective_capabilities.health_monitor_types
                    if HealthMonitorType.PING in offered:
                        return ""
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            raise DemoFailure(f"the agents can ping, and {fleet} does not offer PING") from error


def _ready(node: fleet_pb2.Node) -> bool:
    synced: bool = node.state == fleet_pb2.NodeState.SYNCED
    return synced and node.agent.connected and node.agent.envoy_running


def _words(node: fleet_pb2.Node) -> str:
    state = fleet_pb2.NodeState.Code.Name(node.state)
    if not node.agent.connected:
        return f"{state}, its agent does not report"
    if not node.agent.envoy_running:
        return f"{state}, its agent reports that its Envoy does not run"
    return f"{state}, its agent reports"
