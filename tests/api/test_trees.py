"""LoadBalancerService: Apply, DeleteTree, Explain."""

from datetime import UTC, datetime

from api.fleet_view import NodeVerdict, ResourceView
from lbaas.model.enums import NodeState
from lbaas.store import placements
from lbaas.store.store import Store
from lbaas.v1.enums_pb2 import Protocol
from lbaas.v1.explanation_pb2 import ResourceState
from lbaas.v1.health_monitor_service_pb2 import GetHealthMonitorRequest
from lbaas.v1.load_balancer_pb2 import LoadBalancer
from lbaas.v1.load_balancer_service_pb2 import ApplyRequest, DeleteTreeRequest, ExplainRequest
from lbaas.v1.member_service_pb2 import GetMemberRequest
from lbaas.v1.pool_service_pb2 import GetPoolRequest, ListPoolsRequest
from lbaas.v1.status_pb2 import ProvisioningStatus
from lbaas.v1.vip_service_pb2 import GetVipRequest
from tests.api import make
from tests.api.client import Client, Code, refused
from tests.api.fleet_side import FleetSide

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
CHECK = f"{make.ACME}/healthMonitors/check"
VIP = f"{make.ACME}/vips/web"


def tree(*members: int, **fields) -> LoadBalancer:
    return LoadBalancer(
        pool=make.pool(name=make.WEB, health_monitors=[CHECK]),
        members=[make.member(n, name=f"{make.WEB}/members/m{n}") for n in members],
        health_monitors=[make.monitor(name=CHECK)],
        vips=[make.vip(name=VIP, pool="", **fields)],
    )


async def test_a_tree_is_made_in_one_revision(client: Client) -> None:
    made = await client.trees.Apply(ApplyRequest(load_balancer=tree(1, 2)))

    assert len(made.members) == 2
    assert made.vips[0].pool == make.WEB
    assert list(made.pool.vips) == [VIP]
    assert list(made.health_monitors[0].pools) == [make.WEB]
    revisions = {each.revision for each in (made.pool, *made.members, *made.vips)}
    assert revisions == {made.revision}
    again = await client.trees.Apply(ApplyRequest(load_balancer=tree(1, 2)))
    assert again.pool.etag == made.pool.etag
    assert [member.etag for member in again.members] == [member.etag for member in made.members]


async def test_what_is_not_listed_goes_and_monitors_stay(client: Client) -> None:
    first = await client.trees.Apply(ApplyRequest(load_balancer=tree(1, 2)))
    less = tree(2)
    del less.health_monitors[:]
    del less.pool.health_monitors[:]
    del less.vips[:]

    after = await client.trees.Apply(ApplyRequest(load_balancer=less, etag=first.pool.etag))

    assert [member.name for member in after.members] == [f"{make.WEB}/members/m2"]
    gone = await client.members.GetMember(GetMemberRequest(name=f"{make.WEB}/members/m1"))
    assert gone.provisioning_status == ProvisioningStatus.PENDING_DELETE
    gone = await client.vips.GetVip(GetVipRequest(name=VIP))
    assert gone.provisioning_status == ProvisioningStatus.PENDING_DELETE
    kept = await client.monitors.GetHealthMonitor(GetHealthMonitorRequest(name=CHECK))
    assert not kept.pools
    await refused(
        client.trees.Apply(ApplyRequest(load_balancer=less, etag=first.pool.etag)), Code.ABORTED
    )


async def test_every_violation_of_a_tree_at_once(client: Client) -> None:
    bad = tree(1, 2)
    bad.pool.ClearField("lb_method")
    bad.members[1].port = 0
    bad.health_monitors[0].timeout.seconds = 60
    bad.vips[0].protocol = Protocol.TCP

    refusal = await refused(
        client.trees.Apply(ApplyRequest(load_balancer=bad)), Code.INVALID_ARGUMENT
    )

    assert set(refusal.fields) == {
        "pool.lb_method",
        "members[1].port",
        "health_monitors[0].timeout",
        "vips[0].protocol",
    }
    assert not (await client.pools.ListPools(ListPoolsRequest(parent="projects/-"))).pools


async def test_a_trees_names_are_of_one_project(client: Client) -> None:
    foreign = tree(1)
    foreign.vips[0].name = "projects/other/vips/web"

    await refused(client.trees.Apply(ApplyRequest(load_balancer=foreign)), Code.NOT_FOUND)


async def test_an_empty_apply_is_refused(client: Client) -> None:
    refusal = await refused(client.trees.Apply(ApplyRequest()), Code.INVALID_ARGUMENT)

    assert {"pool.name", "pool.protocol", "pool.lb_method"} <= set(refusal.fields)


async def test_validate_only_applies_nothing(client: Client) -> None:
    would = await client.trees.Apply(ApplyRequest(load_balancer=tree(1), validate_only=True))

    assert would.members
    await refused(client.pools.GetPool(GetPoolRequest(name=make.WEB)), Code.NOT_FOUND)


async def test_a_tree_goes_as_a_whole(client: Client) -> None:
    made = await client.trees.Apply(ApplyRequest(load_balancer=tree(1, 2)))

    await refused(
        client.trees.DeleteTree(DeleteTreeRequest(name=make.WEB, etag='"old"')), Code.ABORTED
    )
    gone = await client.trees.DeleteTree(DeleteTreeRequest(name=make.WEB, etag=made.pool.etag))

    every = (gone.pool, *gone.members, *gone.vips)
    assert len(every) == 4
    assert {each.provisioning_status for each in every} == {ProvisioningStatus.PENDING_DELETE}
    await client.monitors.GetHealthMonitor(GetHealthMonitorRequest(name=CHECK))


async def test_an_explanation_joins_what_is_stored_with_what_streams_know(
    client: Client, store: Store, fleet_side: FleetSide
) -> None:
    await client.fleets.CreateFleet(make.create_fleet())
    await client.trees.Apply(ApplyRequest(load_balancer=tree(1)))
    await store.write(
        lambda tx: placements.place(tx, make.WEB, fleet="fleets/edge", reason="the only one")
    )
    verdicts = (
        NodeVerdict(node="fleets/edge/nodes/n1", state=NodeState.SYNCED, version="v1"),
        NodeVerdict(node="fleets/edge/nodes/n2", state=NodeState.REJECTED, message="no"),
        NodeVerdict(node="fleets/edge/nodes/n3", state=NodeState.LOST, message="gone"),
    )
    fleet_side.rendered[make.WEB] = [
        ResourceView(
            type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster",
            name=make.WEB,
            version="v1",
            json="{}",
            objects=(make.WEB, CHECK),
            nodes=verdicts,
        ),
        ResourceView(
            type_url="type.googleapis.com/envoy.config.listener.v3.Listener",
            name=VIP,
            version="v2",
            json="{}",
            objects=(VIP,),
        ),
    ]

    whole = await client.trees.Explain(ExplainRequest(name=make.WEB))
    part = await client.trees.Explain(ExplainRequest(name=VIP))
    check = await client.trees.Explain(ExplainRequest(name=CHECK))

    assert whole.status.name == make.WEB
    assert whole.pools[0].placement.fleet == "fleets/edge"
    assert whole.pools[0].placement.reason == "the only one"
    assert [each.name for each in whole.pools[0].resources] == [make.WEB, VIP]
    assert [each.state for each in whole.pools[0].resources[0].nodes] == [
        ResourceState.APPLIED,
        ResourceState.REJECTED,
        ResourceState.PENDING,
    ]
    assert [each.name for each in part.pools[0].resources] == [VIP]
    assert [each.pool for each in check.pools] == [make.WEB]
    assert [each.name for each in check.pools[0].resources] == [make.WEB]
    await refused(
        client.trees.Explain(ExplainRequest(name=f"{make.ACME}/vips/none")), Code.NOT_FOUND
    )
    await refused(client.trees.Explain(ExplainRequest(name="fleets/edge")), Code.INVALID_ARGUMENT)
