"""Service types, fleets, nodes, quotas."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from api.fleet_view import NodeResourceView, Trial
from lbaas.model.enums import NodeState, ResourceState
from lbaas.model.objects import HeldRemovals, NodeView, Rejection
from lbaas.store import verdicts
from lbaas.store.store import Store
from lbaas.v1 import fleet_pb2
from lbaas.v1.capabilities_pb2 import Capabilities
from lbaas.v1.enums_pb2 import FleetKind, LbMethod
from lbaas.v1.fleet_pb2 import Fleet
from lbaas.v1.fleet_service_pb2 import (
    AllowRemovalsRequest,
    DeleteFleetRequest,
    DrainFleetRequest,
    GetFleetRequest,
    GetNodeRequest,
    ListFleetsRequest,
    ListNodesRequest,
    UndrainFleetRequest,
    UpdateFleetRequest,
)
from lbaas.v1.quota_pb2 import Quota
from lbaas.v1.quota_service_pb2 import GetQuotaRequest, UpdateQuotaRequest
from lbaas.v1.service_type_pb2 import ServiceType
from lbaas.v1.service_type_service_pb2 import (
    CreateServiceTypeRequest,
    DeleteServiceTypeRequest,
    GetServiceTypeRequest,
    ListServiceTypesRequest,
    UpdateServiceTypeRequest,
)
from tests.api import make
from tests.api.client import Client, Code, refused
from tests.api.fleet_side import FleetSide

EDGE = "fleets/edge"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def node(name: str, state: NodeState = NodeState.SYNCED, *, connected: bool = True) -> NodeView:
    return NodeView(
        name=f"{EDGE}/nodes/{name}",
        state=state,
        connected=connected,
        envoy_version="1.40.0",
        base_rev=7,
        pending=("projects/acme/vips/web",),
        last_seen=NOON,
    )


async def test_there_is_a_default_service_type(client: Client) -> None:
    page = await client.types.ListServiceTypes(ListServiceTypesRequest())

    assert [each.name for each in page.service_types] == ["serviceTypes/default"]
    assert page.service_types[0].default


async def test_service_types_are_written_and_deleted(client: Client) -> None:
    made = await client.types.CreateServiceType(
        CreateServiceTypeRequest(
            service_type_id="fast",
            service_type=ServiceType(
                fleet_kind=FleetKind.EDGE,
                required_capabilities=Capabilities(lb_methods=[LbMethod.SOURCE_IP]),
                fleet_selector={"disk": "ssd"},
            ),
        )
    )
    assert made.name == "serviceTypes/fast"
    assert made.fleet_selector == {"disk": "ssd"}

    after = await client.types.UpdateServiceType(
        UpdateServiceTypeRequest(
            service_type=ServiceType(name=made.name, description="quick", etag=made.etag)
        )
    )
    assert after.description == "quick"
    assert after.required_capabilities == made.required_capabilities

    await client.types.DeleteServiceType(DeleteServiceTypeRequest(name=made.name))
    await refused(
        client.types.GetServiceType(GetServiceTypeRequest(name=made.name)), Code.NOT_FOUND
    )


async def test_a_fleet_shows_what_the_streams_know(client: Client, fleet_side: FleetSide) -> None:
    fleet_side.node_views[EDGE] = [node("n1"), node("n2", NodeState.LOST, connected=False)]

    made = await client.fleets.CreateFleet(
        make.create_fleet(
            capabilities=Capabilities(lb_methods=[LbMethod.ROUND_ROBIN], connection_limit=True)
        )
    )

    assert made.nodes_connected == 1
    assert made.shared
    assert made.kind == FleetKind.EDGE
    assert list(made.effective_capabilities.lb_methods) == [LbMethod.ROUND_ROBIN]
    assert await client.fleets.GetFleet(GetFleetRequest(name=EDGE)) == made
    page = await client.fleets.ListFleets(ListFleetsRequest())
    assert list(page.fleets) == [made]


async def test_a_fleet_belongs_to_a_project_by_its_name(client: Client) -> None:
    made = await client.fleets.CreateFleet(make.create_fleet(project="projects/acme"))
    assert made.project == "projects/acme"
    assert not made.shared

    refusal = await refused(
        client.fleets.CreateFleet(make.create_fleet("f2", project="acme", vip_ranges=["x"])),
        Code.INVALID_ARGUMENT,
    )
    assert set(refusal.fields) == {"project", "vip_ranges[0]"}


async def test_fleets_drain(client: Client) -> None:
    await client.fleets.CreateFleet(make.create_fleet())

    drained = await client.fleets.DrainFleet(DrainFleetRequest(name=EDGE))
    assert drained.draining
    kept = await client.fleets.UpdateFleet(
        UpdateFleetRequest(fleet=Fleet(name=EDGE, max_pools=5, draining=False))
    )
    assert kept.draining
    assert kept.max_pools == 5
    await refused(
        client.fleets.UpdateFleet(
            UpdateFleetRequest(fleet=Fleet(name=EDGE), update_mask=FieldMask(paths=["draining"]))
        ),
        Code.INVALID_ARGUMENT,
    )
    back = await client.fleets.UndrainFleet(UndrainFleetRequest(name=EDGE))
    assert not back.draining
    await refused(
        client.fleets.DrainFleet(DrainFleetRequest(name=EDGE, etag=drained.etag)), Code.ABORTED
    )
    await client.fleets.DeleteFleet(DeleteFleetRequest(name=EDGE))
    await refused(client.fleets.GetFleet(GetFleetRequest(name=EDGE)), Code.NOT_FOUND)


async def test_a_fleet_has_a_canary_if_the_operator_wants_one(
    client: Client, fleet_side: FleetSide
) -> None:
    made = await client.fleets.CreateFleet(make.create_fleet(canary=True))
    assert made.canary
    assert made.canary_node == ""
    fleet_side.trials[EDGE] = Trial(node=f"{EDGE}/nodes/n1", held=("projects/acme/vips/v",))
    shown = await client.fleets.GetFleet(GetFleetRequest(name=EDGE))
    assert shown.canary_node == f"{EDGE}/nodes/n1"
    assert list(shown.held_by_canary) == ["projects/acme/vips/v"]
    page = await client.fleets.ListFleets(ListFleetsRequest(filter="canary = true"))
    assert [fleet.name for fleet in page.fleets] == [EDGE]
    kept = await client.fleets.UpdateFleet(
        UpdateFleetRequest(fleet=Fleet(name=EDGE, max_pools=5), update_mask=None)
    )
    assert kept.canary
    off = await client.fleets.UpdateFleet(
        UpdateFleetRequest(fleet=Fleet(name=EDGE), update_mask=FieldMask(paths=["canary"]))
    )
    assert not off.canary
    assert off.canary_node == ""
    assert off.max_pools == 5
    await refused(
        client.fleets.UpdateFleet(
            UpdateFleetRequest(fleet=Fleet(name=EDGE), update_mask=FieldMask(paths=["canary_node"]))
        ),
        Code.INVALID_ARGUMENT,
    )


async def test_nodes_come_from_the_streams_and_rejections_from_the_store(
    client: Client, fleet_side: FleetSide, store: Store
) -> None:
    await client.fleets.CreateFleet(make.create_fleet())
    fleet_side.node_views[EDGE] = [node("n2", NodeState.REJECTED), node("n1")]
    rejection = Rejection(
        fleet=EDGE,
        node=f"{EDGE}/nodes/n2",
        type_url="type.googleapis.com/envoy.config.listener.v3.Listener",
        resource="projects/acme/vips/web",
        version="v1",
        message="cannot bind",
        objects=(("projects/acme/vips/web", 3),),
        time=NOON,
    )
    await store.write(lambda tx: verdicts.record(tx, live={}, rejected=[rejection]))

    first = await client.fleets.ListNodes(ListNodesRequest(parent=EDGE, page_size=1))
    second = await client.fleets.ListNodes(
        ListNodesRequest(parent=EDGE, page_size=1, page_token=first.next_page_token)
    )

    assert [each.name for each in first.nodes] == [f"{EDGE}/nodes/n1"]
    (shown,) = second.nodes
    assert not second.next_page_token
    assert shown == await client.fleets.GetNode(GetNodeRequest(name=f"{EDGE}/nodes/n2"))
    assert shown.state == fleet_pb2.NodeState.REJECTED
    assert shown.rejections[0].message == "cannot bind"
    assert list(shown.rejections[0].objects) == ["projects/acme/vips/web"]
    await refused(client.fleets.GetNode(GetNodeRequest(name=f"{EDGE}/nodes/n3")), Code.NOT_FOUND)
    await refused(client.fleets.ListNodes(ListNodesRequest(parent="fleets/none")), Code.NOT_FOUND)


async def test_one_node_is_shown_with_what_it_does_not_hold_and_lists_leave_that_out(
    client: Client, fleet_side: FleetSide
) -> None:
    await client.fleets.CreateFleet(make.create_fleet())
    slow = replace(node("n1"), lag=timedelta(milliseconds=61), overdue="for 78 s: Cluster web sent")
    fleet_side.node_views[EDGE] = [slow, node("n2")]
    fleet_side.unsettled_on[slow.name] = [
        NodeResourceView(
            type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster",
            name="projects/acme/pools/web",
            state=ResourceState.SENT,
            wanted="v3",
            held="v1",
            sent="v3",
            sent_at=NOON,
            message="sent, unanswered for 78 s",
        )
    ]

    shown = await client.fleets.GetNode(GetNodeRequest(name=slow.name))
    listed = await client.fleets.ListNodes(ListNodesRequest(parent=EDGE))

    (resource,) = shown.unsettled
    assert resource.state == fleet_pb2.NodeResourceState.SENT
    versions = (resource.wanted_version, resource.held_version, resource.sent_version)
    assert versions == ("v3", "v1", "v3")
    assert resource.sent_time.ToDatetime(UTC) == NOON
    assert resource.message == "sent, unanswered for 78 s"
    assert shown.lag.ToMilliseconds() == 61
    assert shown.overdue == "for 78 s: Cluster web sent"
    first, second = listed.nodes
    assert not first.unsettled
    assert first.lag.ToMilliseconds() == 61
    assert not second.HasField("lag")


async def test_quotas_have_defaults_and_are_set(client: Client) -> None:
    name = f"{make.ACME}/quota"
    assert await client.quotas.GetQuota(GetQuotaRequest(name=name)) == Quota(
        name=name, vips=10, pools=10, members=-1, health_monitors=-1
    )

    after = await client.quotas.UpdateQuota(
        UpdateQuotaRequest(quota=Quota(name=name, pools=0, members=5))
    )

    assert after == Quota(name=name, vips=10, pools=0, members=5, health_monitors=-1)
    await refused(client.pools.CreatePool(make.create_pool()), Code.RESOURCE_EXHAUSTED)
    refusal = await refused(
        client.quotas.UpdateQuota(UpdateQuotaRequest(quota=Quota(name=name, vips=-2))),
        Code.INVALID_ARGUMENT,
    )
    assert set(refusal.fields) == {"vips"}
    back = await client.quotas.UpdateQuota(
        UpdateQuotaRequest(quota=Quota(name=name), update_mask=FieldMask(paths=["pools"]))
    )
    assert back.pools == 10


async def test_removals_are_allowed_when_some_are_held(
    client: Client, fleet_side: FleetSide
) -> None:
    made = await client.fleets.CreateFleet(make.create_fleet())
    assert (made.held_removals, made.HasField("held_removals_time")) == (0, False)
    refusal = await refused(
        client.fleets.AllowRemovals(AllowRemovalsRequest(name=EDGE)), Code.FAILED_PRECONDITION
    )
    assert refusal.reason == "NOTHING_HELD"
    await refused(
        client.fleets.AllowRemovals(AllowRemovalsRequest(name="fleets/none")), Code.NOT_FOUND
    )

    since = datetime(2026, 1, 2, 12, tzinfo=UTC)
    fleet_side.held[EDGE] = HeldRemovals(count=30, since=since)
    shown = await client.fleets.GetFleet(GetFleetRequest(name=EDGE))
    assert shown.held_removals == 30
    assert shown.held_removals_time.ToDatetime(tzinfo=UTC) == since
    tried = await client.fleets.AllowRemovals(AllowRemovalsRequest(name=EDGE, validate_only=True))
    assert tried.revision > shown.revision
    assert (await client.fleets.GetFleet(GetFleetRequest(name=EDGE))).etag == shown.etag
    await refused(
        client.fleets.AllowRemovals(AllowRemovalsRequest(name=EDGE, etag="old")), Code.ABORTED
    )

    again = AllowRemovalsRequest(name=EDGE, request_id=str(uuid.uuid4()))
    allowed = await client.fleets.AllowRemovals(again)
    assert allowed.revision == tried.revision
    del fleet_side.held[EDGE]
    assert await client.fleets.AllowRemovals(again) == allowed  # once is enough
    # Nobody can write it otherwise, and no other write takes it back.
    kept = await client.fleets.UpdateFleet(UpdateFleetRequest(fleet=Fleet(name=EDGE, max_pools=5)))
    assert kept.held_removals == 0
