"""What the reading commands print: tables, status, why, watch, fleet status."""

import json
from datetime import UTC, datetime, timedelta

import grpc
import yaml

from tests.cli.scripted import Refusal

POOL = {
    "name": "projects/acme/pools/web",
    "revision": "1040",
    "protocol": "HTTP",
    "lbMethod": "ROUND_ROBIN",
    "provisioningStatus": "ACTIVE",
    "operatingStatus": "UNKNOWN",
    "statusDetail": {"reason": "NO_AGENT", "message": "no agent reports"},
    "nodesApplied": 4,
    "nodesTotal": 4,
    "placement": {"fleet": "fleets/edge", "reason": "the only fleet that fits"},
}
VIP = {
    **{key: POOL[key] for key in ("nodesTotal", "operatingStatus", "protocol")},
    "name": "projects/acme/vips/web",
    "revision": "1042",
    "pool": POOL["name"],
    "address": "203.0.113.9",
    "port": 443,
    "provisioningStatus": "ERROR",
    "nodesApplied": 3,
    "statusDetail": {
        "reason": "REJECTED_BY_ENVOY",
        "message": "cannot bind '203.0.113.9:443'",
        "node": "fleets/edge/nodes/e3",
    },
}
MEMBERS = [
    {"name": f"{POOL['name']}/members/m{n}", "provisioningStatus": "ACTIVE", "revision": "1041"}
    for n in (1, 2, 3)
]


def with_everything(api):
    api.answer("VipService/ListVips", {"vips": [VIP]})
    api.answer("PoolService/ListPools", {"pools": [POOL]})
    api.answer("MemberService/ListMembers", {"members": MEMBERS})
    api.answer("HealthMonitorService/ListHealthMonitors", {})


def test_a_table_leaves_out_what_is_well_and_cuts_nothing_off(run, api):
    api.answer("PoolService/ListPools", {"pools": [POOL]})
    assert run("tidegate pool list").out.splitlines() == [
        "NAME  STATUS  APPLIED  PROTOCOL  LB_METHOD    MONITORS  FLEET  WHY",
        "web   ACTIVE  4/4      HTTP      ROUND_ROBIN            edge",
    ]


def test_columns_by_name_and_no_header(run, api):
    api.answer("PoolService/ListPools", {"pools": [POOL]})
    ran = run("tidegate pool list -c name,placed_because -c STATUS --no-header")
    assert ran.out == "web  the only fleet that fits  ACTIVE\n"


def test_an_unknown_column_says_which_there_are(run, api):
    api.answer("PoolService/ListPools", {"pools": [POOL]})
    ran = run("tidegate pool list -c PROTOCOLL")
    assert ran.code == 2
    assert "did you mean 'PROTOCOL'" in ran.err


def test_json_yaml_and_names(run, api):
    api.answer("PoolService/ListPools", {"pools": [POOL]})
    assert json.loads(run("tidegate pool list -o json").out) == {"pools": [POOL]}
    assert yaml.safe_load(run("tidegate pool list -o yaml").out) == {"pools": [POOL]}
    assert run("tidegate pool list -o name").out == "projects/acme/pools/web\n"


def test_all_pages_are_asked_for(run, api):
    second = {**POOL, "name": "projects/acme/pools/zoo"}
    api.answer(
        "PoolService/ListPools", {"pools": [POOL], "nextPageToken": "t"}, {"pools": [second]}
    )
    assert run("tidegate pool list -o name").out.splitlines() == [POOL["name"], second["name"]]
    assert api.requests("PoolService/ListPools")[1]["pageToken"] == "t"


def test_status_shows_each_vip_with_its_problem_and_the_next_command(run, api):
    with_everything(api)
    said = "edge/e3: REJECTED_BY_ENVOY: cannot bind '203.0.113.9:443'"
    ran = run("tidegate status -c NAME,STATUS,APPLIED,MEMBERS,WHY")
    assert ran.out.splitlines() == [
        "NAME     STATUS  APPLIED  MEMBERS  WHY",
        f"vip/web  ERROR   3/4      3        {said}",
    ]
    assert ran.err.splitlines()[0] == (
        "# project acme, revision 1042. 1 problem: tidegate why vip/web"
    )


def test_status_of_an_empty_project_says_how_to_begin(run, api):
    for service, plural in (
        ("Vip", "Vips"),
        ("Pool", "Pools"),
        ("Member", "Members"),
        ("HealthMonitor", "HealthMonitors"),
    ):
        api.answer(f"{service}Service/List{plural}", {})
    ran = run("tidegate status")
    assert ran.out == ""
    assert "nothing yet" in ran.err


def test_why_tells_the_placement_and_the_nodes_own_words(run, api):
    cluster = {
        "typeUrl": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": POOL["name"],
        "version": "c1",
        "nodes": [{"node": "fleets/edge/nodes/e3", "state": "APPLIED"}],
    }
    listener = {
        "typeUrl": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": VIP["name"],
        "version": "l1",
        "nodes": [
            {"node": "fleets/edge/nodes/e1", "state": "APPLIED"},
            {"node": "fleets/edge/nodes/e3", "state": "REJECTED", "message": "cannot bind"},
        ],
    }
    status = {key: VIP[key] for key in ("name", "provisioningStatus", "statusDetail")}
    placed = {"pool": POOL["name"], "placement": POOL["placement"]}
    api.answer(
        "LoadBalancerService/Explain",
        {
            "name": VIP["name"],
            "status": {**status, "nodesApplied": 3, "nodesTotal": 4},
            "pools": [{**placed, "resources": [cluster, listener]}],
        },
    )
    assert run("tidegate why vip/web").out.splitlines() == [
        "vip/web is ERROR: edge/e3: REJECTED_BY_ENVOY: cannot bind '203.0.113.9:443'",
        "  pool/web is on fleet/edge: the only fleet that fits",
        '    listener vip/web: node e3 REJECTED "cannot bind"',
        "    1 Envoy resource confirmed by every node",
        "  health: not known here, no node has an agent that reports",
        (
            "  next: tidegate fleet status edge | to try again: tidegate vip update web"
            " --wait=applied --admin-down && tidegate vip update web --wait=applied --admin-up"
        ),
    ]


def test_why_without_a_node_does_not_say_that_every_node_has_it(run, api):
    resource = {"typeUrl": "type.googleapis.com/x.Cluster", "name": POOL["name"], "version": "c"}
    pool = {"pool": POOL["name"], "placement": POOL["placement"], "resources": [resource]}
    api.answer(
        "LoadBalancerService/Explain",
        {"name": POOL["name"], "status": {"name": POOL["name"]}, "pools": [pool]},
    )
    out = run("tidegate why pool/web").out
    assert "1 Envoy resource ready, and no node is connected" in out
    assert "confirmed" not in out


def test_why_tells_nodes_that_are_not_connected_once(run, api):
    nodes = [
        {"node": "fleets/edge/nodes/e1", "state": "APPLIED"},
        {"node": "fleets/edge/nodes/e2", "state": "PENDING", "message": "not connected"},
    ]
    resource = {"typeUrl": "type.googleapis.com/x.Cluster", "name": POOL["name"], "nodes": nodes}
    pool = {"pool": POOL["name"], "placement": POOL["placement"], "resources": [resource] * 3}
    api.answer(
        "LoadBalancerService/Explain",
        {"name": POOL["name"], "status": {"name": POOL["name"]}, "pools": [pool]},
    )
    lines = run("tidegate why pool/web").out.splitlines()
    assert "    3 Envoy resources confirmed by every connected node" in lines
    assert [line for line in lines if "e2" in line] == [
        "    not connected, and told nothing new: e2"
    ]


def test_a_bare_name_is_looked_for_among_vips_pools_and_monitors(run, api):
    missing = Refusal(grpc.StatusCode.NOT_FOUND, "no such VIP")
    api.answer("VipService/GetVip", missing)
    api.answer("PoolService/GetPool", POOL)
    api.answer("HealthMonitorService/GetHealthMonitor", missing)
    api.answer("LoadBalancerService/Explain", {"name": POOL["name"], "status": {}})
    run("tidegate why web")
    assert api.requests("LoadBalancerService/Explain") == [{"name": POOL["name"]}]


def test_a_bare_name_that_nothing_has_is_exit_3(run, api):
    missing = Refusal(grpc.StatusCode.NOT_FOUND, "not there")
    for method in ("VipService/GetVip", "PoolService/GetPool"):
        api.answer(method, missing)
    api.answer("HealthMonitorService/GetHealthMonitor", missing)
    assert run("tidegate why web").code == 3


def test_watch_prints_a_line_an_event_and_leaves_out_heartbeats(run, api):
    api.answer(
        "LoadBalancerService/Watch",
        {"revision": "7", "change": {"type": "CREATED", "pool": POOL}},
        {"revision": "7", "heartbeat": {}},
        {"revision": "8", "removal": {"name": MEMBERS[0]["name"]}},
    )
    ran = run("tidegate watch --count 2")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[1][1:] == ["7", "CREATED", "pool/web", "ACTIVE", "4/4"]
    assert lines[2][1:] == ["8", "GONE", "member/web/m1"]


def test_a_watch_that_the_server_ends_says_how_to_go_on(run, api):
    api.answer(
        "LoadBalancerService/Watch",
        {"revision": "7", "change": {"type": "CREATED", "pool": POOL}},
        {"revision": "7", "end": {"reason": "SERVER_STOPPING"}},
    )
    ran = run("tidegate watch -o json")
    assert ran.code == 7
    assert "tidegate watch --from 7" in ran.err
    assert json.loads(ran.out)["change"]["pool"]["name"] == POOL["name"]


def test_fleet_status_shows_what_a_node_refused(run, api):
    node = {
        "name": "fleets/edge/nodes/e3",
        "state": "REJECTED",
        "baseRevision": "1041",
        "envoyVersion": "1.40.0",
        "rejections": [{"resource": VIP["name"], "message": "cannot bind"}],
    }
    api.answer("FleetService/ListNodes", {"nodes": [node]})
    api.answer("FleetService/GetFleet", {"name": "fleets/edge"})
    ran = run("tidegate fleet status edge")
    assert ran.out.splitlines()[1].split(maxsplit=5) == [
        "e3",
        "REJECTED",
        "1041",
        "1.40.0",
        "no",
        'vip/web: "cannot bind"',
    ]


def test_fleet_status_says_which_node_is_the_canary(run, api):
    first = {"name": "fleets/edge/nodes/e1", "state": "PENDING", "canary": True}
    second = {"name": "fleets/edge/nodes/e2", "state": "PENDING"}
    for node in (first, second):
        node["pending"] = [VIP["name"]]
    api.answer("FleetService/ListNodes", {"nodes": [first, second]})
    lines = run("tidegate fleet status edge").out.splitlines()
    assert lines[1].endswith("the canary; waiting for 1: vip/web")
    assert lines[2].split()[-4:] == ["waiting", "for", "1:", "vip/web"]


def test_fleets_show_their_canary_and_what_it_holds_back(run, api):
    a, b = "fleets/a/nodes/e1", "fleets/b/nodes/e2"
    fleets = [
        {"name": "fleets/a", "canary": True, "canaryNode": a},
        {"name": "fleets/b", "canary": True, "canaryNode": b, "heldByCanary": ["x"]},
        {"name": "fleets/c", "canary": True},
        {"name": "fleets/d"},
    ]
    api.answer("FleetService/ListFleets", {"fleets": fleets})
    shown = run("tidegate fleet list -c NAME,CANARY").out.splitlines()[1:]
    told = [line.split(maxsplit=1)[1] for line in shown]
    assert told == ["e1", "e2, holds 1", "none counts", "no"]


def test_why_says_what_the_canary_holds_back(run, api):
    status = {
        "name": VIP["name"],
        "provisioningStatus": "PENDING_UPDATE",
        "nodesApplied": 1,
        "nodesTotal": 3,
        "statusDetail": {"reason": "HELD_BY_CANARY", "message": "it is not connected"},
    }
    explanation = {
        "name": VIP["name"],
        "status": status,
        "pools": [{"pool": POOL["name"], "placement": {"fleet": "fleets/edge", "reason": "fits"}}],
    }
    api.answer("LoadBalancerService/Explain", explanation)
    told = run("tidegate why vip/web").out
    assert "HELD_BY_CANARY" in told
    assert "to give it to all: tidegate fleet update edge --no-canary" in told


def test_a_fleet_without_nodes_says_how_one_joins(run, api):
    api.answer("FleetService/ListNodes", {})
    api.answer("FleetService/GetFleet", {"name": "fleets/edge"})
    assert "tidegate bootstrap edge NODE" in run("tidegate fleet status edge").err


def test_held_removals_are_shown_with_what_to_do(run, api):
    fleet = {
        "name": "fleets/edge",
        "heldRemovals": 30,
        "heldRemovalsTime": (datetime.now(UTC) - timedelta(minutes=3)).isoformat(),
    }
    api.answer("FleetService/ListNodes", {})
    api.answer("FleetService/GetFleet", fleet)
    told = run("tidegate fleet status edge").err
    assert "# 30 listeners should go and are held since 3m: nobody" in told
    assert "tidegate fleet allow-removals edge" in told
    api.answer("FleetService/ListFleets", {"fleets": [fleet]})
    assert run("tidegate fleet list -c NAME,HELD --no-header").out.split() == ["edge", "30"]


def test_all_projects_show_whose_each_object_is(run, api):
    api.answer("PoolService/ListPools", {"pools": [POOL]})
    assert run("tidegate pool list --project - -c PROJECT,NAME").out.split() == [
        "PROJECT",
        "NAME",
        "acme",
        "web",
    ]
