"""Nodes and what they refuse: only shown, never read."""

from collections.abc import Sequence

from api.conversion.statuses import write_time
from api.fleet_view import NodeResourceView
from lbaas.model.objects import AgentView, NodeView, Rejection
from lbaas.v1 import fleet_pb2


def show_node(
    node: NodeView,
    rejections: Sequence[Rejection],
    unsettled: Sequence[NodeResourceView] = (),
) -> fleet_pb2.Node:
    """Gives a node as the streams and its agent know it, with what it refuses and lacks."""
    message = fleet_pb2.Node(
        name=node.name,
        state=fleet_pb2.NodeState.Code.Value(node.state),
        connected=node.connected,
        envoy_version=node.envoy_version,
        base_revision=node.base_rev,
        pending=node.pending,
        canary=node.canary,
        rejections=[_show_rejection(each) for each in rejections],
        unsettled=[_show_resource(each) for each in unsettled],
        overdue=node.overdue,
    )
    if node.lag is not None:
        message.lag.FromTimedelta(node.lag)
    write_time(message.last_seen_time, node.last_seen)
    if node.agent is not None:
        message.agent.CopyFrom(_show_agent(node.agent))
    return message


def _show_resource(resource: NodeResourceView) -> fleet_pb2.NodeResource:
    message = fleet_pb2.NodeResource(
        type_url=resource.type_url,
        name=resource.name,
        state=fleet_pb2.NodeResourceState.Code.Value(resource.state),
        wanted_version=resource.wanted,
        held_version=resource.held,
        sent_version=resource.sent,
        message=resource.message,
    )
    if resource.sent_at is not None:
        message.sent_time.FromDatetime(resource.sent_at)
    return message


def _show_agent(agent: AgentView) -> fleet_pb2.NodeAgent:
    message = fleet_pb2.NodeAgent(
        connected=agent.connected,
        version=agent.version,
        driver=agent.driver,
        ping_refusal=agent.ping_refusal,
        envoy_running=agent.envoy_running,
        warming=agent.warming,
    )
    write_time(message.last_report_time, agent.last_report)
    return message


def _show_rejection(rejection: Rejection) -> fleet_pb2.Rejection:
    message = fleet_pb2.Rejection(
        node=rejection.node,
        type_url=rejection.type_url,
        resource=rejection.resource,
        version=rejection.version,
        message=rejection.message,
        objects=[name for name, _ in rejection.objects],
        last_good_version=rejection.last_good_version,
    )
    write_time(message.time, rejection.time)
    return message
