"""What agents report, as the command line tells it: status, why, --wait=healthy, drains, stats."""

from datetime import UTC, datetime, timedelta

import pytest

from tidegate.cli import draining
from tidegate.cli.durations import clock

POOL = {
    "name": "projects/acme/pools/web",
    "revision": "1040",
    "provisioningStatus": "ACTIVE",
    "operatingStatus": "DEGRADED",
    "statusDetail": {
        "reason": "MEMBERS_DOWN",
        "message": "1 of 3 members is OFFLINE: m3",
        "time": "2031-05-04T14:01:20Z",
    },
    "nodesApplied": 2,
    "nodesTotal": 2,
}
VIP = {
    **POOL,
    "name": "projects/acme/vips/web",
    "pool": POOL["name"],
    "revision": "1042",
    "connectionLimit": 5000,
    "nodeConnectionLimits": [
        {"node": "fleets/edge/nodes/e1", "connectionLimit": 2500},
        {"node": "fleets/edge/nodes/e2", "connectionLimit": 2500},
    ],
}
CHECK = "projects/acme/healthMonitors/web-check"
DOWN = {
    "operatingStatus": "OFFLINE",
    "failedHealthMonitor": CHECK,
    "cause": "HTTP 503, wanted 200",
    "time": "2031-05-04T14:01:20Z",
}
MONITOR = {
    "name": CHECK,
    "type": "HTTP",
    "delay": "5s",
    "urlPath": "/healthz",
    "provisioningStatus": "ACTIVE",
    "operatingStatus": "DEGRADED",
}


def member(number: int, *, status: str = "ONLINE", **fields: object) -> dict[str, object]:
    return {
        "name": f"{POOL['name']}/members/m{number}",
        "address": f"10.0.0.{number}",
        "port": 80,
        "weight": 1,
        "adminStateUp": True,
        "provisioningStatus": "ACTIVE",
        "operatingStatus": status,
        **fields,
    }


BAD = member(
    3,
    status="OFFLINE",
    statusDetail={
        "reason": "MONITOR_FAILED",
        "message": "fails web-check on e1, e2: HTTP 503, wanted 200",
        "time": "2031-05-04T14:01:20Z",
    },
    verdicts=[{"node": f"fleets/edge/nodes/e{n}", **DOWN} for n in (1, 2)],
)
MEMBERS = [member(1), member(2), BAD]


def answers(api, *, vip=VIP, pool=POOL, members=MEMBERS) -> None:
    api.answer("VipService/ListVips", {"vips": [vip] if vip else []})
    api.answer("PoolService/ListPools", {"pools": [pool] if pool else []})
    api.answer("MemberService/ListMembers", {"members": members})
    api.answer("HealthMonitorService/ListHealthMonitors", {"healthMonitors": [MONITOR]})
    api.answer("VipService/GetVipStats", {"activeConnections": "812"})


def test_status_says_which_member_is_down_and_what_its_check_met(run, api):
    answers(api)
    ran = run("tidegate status -c NAME,STATUS,APPLIED,MEMBERS,CONNS,WHY")
    assert ran.out.splitlines() == [
        "NAME     STATUS    APPLIED  MEMBERS  CONNS     WHY",
        (
            "vip/web  DEGRADED  2/2      2/3      812/5000"
            "  member 10.0.0.3:80 OFFLINE: HTTP 503, wanted 200"
        ),
    ]
    assert ran.err == "# project acme, revision 1042. 1 problem: tidegate why vip/web\n"


def test_status_of_what_is_well_says_no_more(run, api):
    well = {"operatingStatus": "ONLINE", "statusDetail": None}
    vip = {k: v for k, v in {**VIP, **well, "connectionLimit": -1}.items() if v is not None}
    answers(api, vip=vip, members=[member(1), member(2)])
    ran = run("tidegate status -c NAME,STATUS,MEMBERS,CONNS,WHY")
    assert ran.out.splitlines()[1].split() == ["vip/web", "ONLINE", "2/2", "812"]
    assert "problem" not in ran.err


def test_status_counts_the_members_that_should_take_traffic(run, api):
    off = member(4, status="OFFLINE", adminStateUp=False, provisioningStatus="INACTIVE")
    gone = member(5, status="DRAINING", provisioningStatus="PENDING_DELETE")
    quiet = member(6, status="DRAINING", weight=0)
    answers(api, members=[*MEMBERS, off, gone, quiet])
    assert run("tidegate status -c MEMBERS --no-header").out.splitlines()[0] == "2/3"


def test_a_word_about_what_is_on_its_way_is_the_provisioning_status(run, api):
    vip = {**VIP, "provisioningStatus": "PENDING_UPDATE"}
    answers(api, vip=vip)
    assert run("tidegate status -c STATUS --no-header").out.splitlines()[0] == "PENDING_UPDATE"


def explained(api, name: str, status: dict[str, object]) -> None:
    placement = {"fleet": "fleets/edge", "reason": "the only fleet that fits"}
    api.answer(
        "LoadBalancerService/Explain",
        {
            "name": name,
            "status": {
                "name": name,
                **{
                    key: status[key]
                    for key in ("provisioningStatus", "operatingStatus", "statusDetail")
                    if key in status
                },
                "nodesApplied": 2,
                "nodesTotal": 2,
            },
            "pools": [{"pool": POOL["name"], "placement": placement}],
        },
    )


def test_why_tells_each_member_that_is_down_its_check_and_who_agrees(run, api):
    answers(api)
    api.answer("HealthMonitorService/GetHealthMonitor", MONITOR)
    explained(api, VIP["name"], VIP)
    since = clock("2031-05-04T14:01:20Z")
    assert run("tidegate why vip/web").out.splitlines() == [
        (
            f"vip/web is DEGRADED since {since}: 1 of 3 members is OFFLINE: m3;"
            " all 2 nodes have its newest change"
        ),
        f"  member 10.0.0.3:80 (web/m3)  OFFLINE since {since}, all 2 nodes agree",
        "    monitor web-check: GET /healthz every 5s -> HTTP 503, wanted 200",
        "  pool/web is on fleet/edge: the only fleet that fits",
        "  next: tidegate member list web -o wide | tidegate monitor list",
    ]


def test_why_says_which_nodes_differ(run, api):
    verdicts = [
        {"node": "fleets/edge/nodes/e1", "operatingStatus": "ONLINE"},
        {"node": "fleets/edge/nodes/e2", **DOWN},
    ]
    odd = {**BAD, "operatingStatus": "DEGRADED", "verdicts": verdicts}
    api.answer("MemberService/GetMember", odd)
    api.answer("HealthMonitorService/GetHealthMonitor", {**MONITOR, "type": "TCP"})
    explained(api, BAD["name"], odd)
    lines = run("tidegate why web/m3").out.splitlines()
    assert lines[1].endswith("DEGRADED since " + clock(DOWN["time"]) + ", 1 of 2 nodes find so: e2")
    assert lines[2] == ("    monitor web-check: a connection every 5s -> HTTP 503, wanted 200")
    assert lines[-1] == "  next: tidegate member drain web/m3 | tidegate monitor list"


def test_why_of_a_pool_that_moves_says_from_where(run, api):
    answers(api, members=[])
    placement = {
        "fleet": "fleets/new",
        "leavingFleet": "fleets/old",
        "reason": "fleets/old is drained",
    }
    status = {"provisioningStatus": "ACTIVE", "operatingStatus": "ONLINE", "nodesTotal": 1}
    api.answer(
        "LoadBalancerService/Explain",
        {
            "name": POOL["name"],
            "status": {"name": POOL["name"], **status},
            "pools": [{"pool": POOL["name"], "placement": placement}],
        },
    )
    lines = run("tidegate why pool/web").out.splitlines()
    assert lines[0] == "pool/web is ONLINE: the only node has its newest change"
    assert lines[1] == "  pool/web moves from fleet/old to fleet/new: fleets/old is drained"


APPLIED = {"outcome": "APPLIED", "nodesApplied": 2, "nodesTotal": 2}


def told(status: str, message: str = "") -> dict[str, object]:
    detail = {"statusDetail": {"reason": "CHECK_PENDING", "message": message}} if message else {}
    return {
        "revision": "1040",
        "status": {
            "name": POOL["name"],
            "provisioningStatus": "ACTIVE",
            "operatingStatus": status,
            **detail,
        },
    }


def test_wait_healthy_waits_until_it_is_applied_and_serves(run, api):
    api.answer("PoolService/CreatePool", {**POOL, "provisioningStatus": "PENDING_CREATE"})
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    other = {"revision": "1040", "status": {"name": "projects/acme/vips/x"}}
    pending = told("OFFLINE", "no member has passed its first check yet")
    api.answer("LoadBalancerService/Watch", other, {"heartbeat": {}}, pending, told("ONLINE"))
    api.answer("PoolService/GetPool", {**POOL, "operatingStatus": "ONLINE", "statusDetail": {}})
    ran = run("tidegate pool create web --protocol http --wait=healthy")
    assert ran.code == 0, ran.err
    applied, progress, healthy = ran.err.splitlines()
    assert "applied 2/2" in applied
    assert progress == (
        "healthy 0/1 ... pool/web is OFFLINE: no member has passed its first check yet"
    )
    assert healthy.startswith("pool/web healthy in ")
    assert "ONLINE" in ran.out
    assert api.requests("LoadBalancerService/Watch") == [
        {"parent": "projects/acme", "fromRevision": "1040"}
    ]


def test_no_monitor_is_healthy_and_pending_is_not(run, api):
    api.answer("PoolService/CreatePool", POOL)
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    late = told("ONLINE")
    late["status"] = {**late["status"], "provisioningStatus": "PENDING_UPDATE"}  # type: ignore[dict-item]
    api.answer("LoadBalancerService/Watch", late, told("NO_MONITOR"))
    api.answer("PoolService/GetPool", POOL)
    ran = run("tidegate pool create web --protocol http --wait=healthy")
    assert ran.code == 0, ran.err
    assert "pool/web is ONLINE" in ran.err


def test_a_wait_for_health_that_runs_out_is_exit_6_and_says_what_is_missing(run, api):
    api.answer("PoolService/CreatePool", POOL)
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    api.answer("LoadBalancerService/Watch", told("OFFLINE", "1 of 1 members is OFFLINE: m1"))
    api.answer("PoolService/GetPool", POOL)
    ran = run("tidegate pool create web --protocol http --wait=healthy --timeout 1s")
    assert ran.code == 6
    assert "not healthy after 1 s" in ran.err
    assert "pool/web is OFFLINE: 1 of 1 members is OFFLINE: m1" in ran.err
    assert "next: tidegate why pool/web" in ran.err


def test_what_is_switched_off_is_not_waited_for(run, api):
    api.answer("PoolService/UpdatePool", POOL)
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    off = told("OFFLINE")
    off["status"] = {**off["status"], "provisioningStatus": "INACTIVE"}  # type: ignore[dict-item]
    api.answer("LoadBalancerService/Watch", off)
    api.answer("PoolService/GetPool", POOL)
    ran = run("tidegate pool update web --admin-down --wait=healthy")
    assert ran.code == 4
    assert "switched off" in ran.err


def test_apply_waits_for_the_pool_and_its_vips(run, api):
    tree = {"pool": POOL, "vips": [VIP], "members": [BAD], "revision": "1043"}
    api.answer("LoadBalancerService/Apply", tree)
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    vip = {"status": {**told("ONLINE")["status"], "name": VIP["name"]}}  # type: ignore[dict-item]
    api.answer("LoadBalancerService/Watch", vip, told("OFFLINE"), told("ONLINE"))
    api.answer("PoolService/GetPool", POOL)
    api.answer("VipService/GetVip", VIP)
    api.answer("MemberService/GetMember", BAD)
    ran = run("tidegate apply -f - --wait=healthy", stdin="pool: {name: web}")
    assert ran.code == 0, ran.err
    assert "healthy 1/2 ... pool/web is OFFLINE" in ran.err
    assert "healthy and applied 2/2" in ran.err


def drains(seconds: float | None) -> dict[str, object]:
    off = member(1, status="DRAINING" if seconds else "OFFLINE")
    off |= {"adminStateUp": False, "provisioningStatus": "INACTIVE", "revision": "7"}
    if seconds is not None:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        off["drainEndTime"] = end.isoformat().replace("+00:00", "Z")
    return off


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(draining, "_STEP", 0.01)


def test_member_drain_waits_for_the_end_with_the_time_left(run, api, quick):
    api.answer("MemberService/UpdateMember", drains(30))
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    api.answer("MemberService/GetMember", drains(30), drains(1.2), drains(None))
    ran = run("tidegate member drain web/m1 --within 30s")
    assert ran.code == 0, ran.err
    applied, first, second, done = ran.err.splitlines()
    assert applied.startswith("member/web/m1 drains: revision 7, applied 2/2")
    assert (first, second) == ("drains, 30 s left", "drains, 1 s left")
    assert done.startswith("member/web/m1 drained in ")
    (request,) = api.requests("MemberService/UpdateMember")
    assert request["updateMask"] == "adminStateUp,drainTimeout"
    assert request["member"]["drainTimeout"] == "30s"


def test_member_drain_with_wait_applied_ends_when_the_nodes_know(run, api):
    api.answer("MemberService/UpdateMember", drains(300))
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    api.answer("MemberService/GetMember", drains(300))
    ran = run("tidegate member drain web/m1 --wait=applied")
    assert ran.code == 0
    assert "left" not in ran.err
    assert "DRAINING" in ran.out


def test_a_member_that_drains_for_ever_is_exit_6(run, api, quick):
    api.answer("MemberService/UpdateMember", drains(0))
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    api.answer("MemberService/GetMember", drains(-60))
    assert run("tidegate member drain web/m1 --timeout 10s").code == 6


def test_a_member_that_is_wanted_back_is_not_waited_for(run, api, quick):
    api.answer("MemberService/UpdateMember", drains(30))
    api.answer("LoadBalancerService/WaitForApplied", APPLIED)
    api.answer("MemberService/GetMember", {**drains(30), "adminStateUp": True})
    ran = run("tidegate member drain web/m1")
    assert ran.code == 4
    assert "switched on again" in ran.err


def test_a_list_of_members_says_how_each_is_and_why(run, api):
    answers(api)
    lines = run("tidegate member list web -c NAME,STATUS,WHY,FAILED_MONITORS,NODES_AGREE").out
    assert lines.splitlines()[1:] == [
        "web/m1  ONLINE",
        "web/m2  ONLINE",
        "web/m3  OFFLINE  fails web-check on e1, e2: HTTP 503, wanted 200  web-check        2/2",
    ]


def test_stats_of_a_pool_and_of_each_member(run, api):
    stats = {
        "name": POOL["name"],
        "bytesIn": "100",
        "bytesOut": "2000",
        "activeConnections": "3",
        "totalConnections": "40",
        "requests": "50",
        "errors": "6",
        "nodesReporting": 1,
        "nodesTotal": 2,
        "members": [{"name": MEMBERS[0]["name"], "requests": "25", "errors": "1"}],
    }
    api.answer("PoolService/GetPoolStats", stats)
    narrow = run("tidegate pool stats web").out.splitlines()
    assert [line.split() for line in narrow] == [
        ["NAME", "BYTES_IN", "BYTES_OUT", "CONNS", "CONNS_EVER", "REQUESTS", "ERRORS", "NODES"],
        ["web", "100", "2000", "3", "40", "50", "6", "1/2"],
    ]
    wide = run("tidegate pool stats web -o wide").out.splitlines()
    assert [line.split() for line in wide[2:]] == [
        [],
        ["NAME", "CONNS", "CONNS_EVER", "REQUESTS", "ERRORS"],
        ["web/m1", "0", "0", "25", "1"],
    ]


def test_stats_of_a_vip_say_what_its_limit_refused(run, api):
    api.answer("VipService/GetVipStats", {"name": VIP["name"], "refusedConnections": "9"})
    assert run("tidegate vip stats web -c REFUSED --no-header").out == "9\n"


def test_a_vip_shows_its_limit_and_each_nodes_share(run, api):
    api.answer("VipService/GetVip", VIP)
    assert "5000 (e1 2500, e2 2500)" in run("tidegate vip get web").out


@pytest.mark.parametrize(
    ("agent", "cell", "words"),
    [
        (None, "no", ""),
        ({"connected": True, "driver": "process", "envoyRunning": True}, "process", ""),
        (
            {"connected": True, "driver": "none", "pingRefusal": "no ICMP", "warming": ["c1"]},
            "none",
            "its Envoy does not answer the agent; no PING: no ICMP; warming 1: c1",
        ),
        ({"driver": "process"}, "gone", "its agent is gone"),
    ],
)
def test_fleet_status_says_how_each_agent_is(run, api, agent, cell, words):
    node = {"name": "fleets/edge/nodes/e1", "state": "SYNCED", "envoyVersion": "1.40.0"}
    api.answer(
        "FleetService/ListNodes", {"nodes": [{**node, **({"agent": agent} if agent else {})}]}
    )
    api.answer("FleetService/GetFleet", {"name": "fleets/edge"})
    ran = run("tidegate fleet status edge -c AGENT,DETAIL --no-header")
    assert ran.out.split()[0] == cell
    assert words in ran.out


def test_status_says_of_what_nobody_reports_though_something_else_is_known(run, api):
    blind = {**VIP, "operatingStatus": "UNKNOWN", "statusDetail": {"reason": "NO_AGENT"}}
    off = {**BAD, "operatingStatus": "OFFLINE", "statusDetail": {"reason": "ADMIN_DOWN"}}
    api.answer("VipService/ListVips", {"vips": [blind]})
    api.answer("PoolService/ListPools", {})
    api.answer("MemberService/ListMembers", {"members": [off]})
    api.answer("HealthMonitorService/ListHealthMonitors", {})
    said = run("tidegate status").err
    assert "# whether members are healthy is not known: no agent reports from there" in said
