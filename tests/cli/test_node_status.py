"""What `fleet status` and `why` say of nodes: what is sent, confirmed, refused, and waited for."""

import json

import pytest

VIP = "projects/acme/vips/web"
POOL = "projects/acme/pools/web"
ENVOY = "type.googleapis.com/envoy.config."
NODE = {
    "name": "fleets/edge/nodes/e1",
    "state": "PENDING",
    "connected": True,
    "baseRevision": "1042",
    "envoyVersion": "1.40.0",
}
REFUSED = {
    "typeUrl": ENVOY + "listener.v3.Listener",
    "name": VIP,
    "state": "REJECTED",
    "wantedVersion": "aaaaaaaaaaaa11111111",
    "heldVersion": "bbbbbbbbbbbb22222222",
    "message": "cannot bind",
}
WAITING = {
    "typeUrl": ENVOY + "route.v3.RouteConfiguration",
    "name": VIP,
    "state": "NOT_SENT",
    "wantedVersion": "cccccccccccc33333333",
    "message": f"RouteConfiguration {VIP} waits for Cluster {POOL}",
}


def cells(line: str) -> list[str]:
    return line.split()


def test_a_nodes_resources_that_are_not_as_wanted(run, api):
    api.answer("FleetService/GetNode", {**NODE, "unsettled": [REFUSED, WAITING]})
    ran = run("tidegate fleet status edge/e1")
    assert api.requests("FleetService/GetNode") == [{"name": NODE["name"]}]
    header, refused, waiting = ran.out.splitlines()
    assert cells(header) == ["TYPE", "NAME", "STATE", "RUNS", "WANTED", "SENT", "WHY"]
    assert cells(refused) == [
        *("listener", "vip/web", "REJECTED", "bbbbbbbbbbbb", "aaaaaaaaaaaa"),
        *('"cannot', 'bind"'),
    ]
    assert cells(waiting) == [
        *("route", "vip/web", "NOT_SENT", "none", "cccccccccccc"),
        *("waits", "for", "Cluster", POOL),
    ]
    assert ran.err.strip() == "# node edge/e1 is PENDING at revision 1042: 2 not as wanted"


def test_a_removal_and_what_is_under_way(run, api):
    removed = {key: value for key, value in WAITING.items() if key != "wantedVersion"}
    sent = {**removed, "state": "SENT", "sentTime": "2026-01-01T00:00:00Z", "heldVersion": "abc"}
    api.answer("FleetService/GetNode", {**NODE, "unsettled": [sent]})
    ran = run("tidegate fleet status fleets/edge/nodes/e1 -c RUNS,WANTED,STATE --no-header")
    assert cells(ran.out) == ["abc", "removed", "SENT"]
    ran = run("tidegate fleet status edge/e1 -o json")
    assert json.loads(ran.out)["unsettled"][0]["sentTime"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"state": "SYNCED", "lag": "0.061s"},
            "is SYNCED: it holds everything of revision 1042, which took it 61 ms",
        ),
        ({"state": "SYNCED"}, "is SYNCED: it holds everything of revision 1042"),
        ({"state": "LOST", "connected": False}, "is LOST: it is not connected"),
        ({"unsettled": [WAITING] * 256}, "is PENDING at revision 1042: 256 or more not as wanted"),
    ],
)
def test_a_node_in_one_line(run, api, more, words):
    api.answer("FleetService/GetNode", {**NODE, **more})
    assert words in run("tidegate fleet status edge/e1").err


@pytest.mark.parametrize(
    ("lag", "cell"), [("0.061s", "61 ms"), ("2.345s", "2.3 s"), ("245s", "4m"), (None, "")]
)
def test_the_lag_of_each_node_in_a_fleet(run, api, lag, cell):
    node = {**NODE, "state": "SYNCED", **({"lag": lag} if lag else {})}
    api.answer("FleetService/ListNodes", {"nodes": [node]})
    api.answer("FleetService/GetFleet", {"name": "fleets/edge"})
    ran = run("tidegate fleet status edge -c LAG --no-header")
    assert ran.out.strip() == cell
    assert "why" not in ran.err


def test_what_is_overdue_is_said_and_where_to_look(run, api):
    node = {**NODE, "pending": [POOL, VIP], "overdue": f"for 78 s: Cluster {POOL} sent"}
    api.answer("FleetService/ListNodes", {"nodes": [node]})
    api.answer("FleetService/GetFleet", {"name": "fleets/edge"})
    ran = run("tidegate fleet status edge")
    assert f"waiting for 2 for 78 s: Cluster {POOL} sent" in ran.out
    assert "tidegate fleet status edge/e1" in ran.err


def test_what_was_refused_is_not_waited_for(run, api):
    refused = [{"resource": VIP, "message": "cannot bind"}]
    node = {**NODE, "state": "REJECTED", "pending": [VIP], "rejections": refused}
    api.answer("FleetService/ListNodes", {"nodes": [node]})
    api.answer("FleetService/GetFleet", {"name": "fleets/edge"})
    ran = run("tidegate fleet status edge -c DETAIL --no-header")
    assert ran.out.strip() == 'vip/web: "cannot bind"'


def verdict(**fields) -> dict:
    return {"node": NODE["name"], "state": "PENDING", **fields}


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            verdict(message=f"Cluster {POOL} waits for x", version="bbbbbbbbbbbb22"),
            "node e1 PENDING, not sent yet, runs bbbbbbbbbbbb: waits for x",
        ),
        (verdict(), "node e1 PENDING, not sent yet"),
        (
            verdict(message="Cluster: the node has not asked for any yet"),
            "node e1 PENDING, not sent yet: the node has not asked for any yet",
        ),
        (  # what is under way is something else
            verdict(
                sentVersion="dd",
                sentTime="2026-01-01T00:00:00Z",
                message=f"Cluster {POOL} sent without members first, unanswered for 3.0 s",
            ),
            "node e1 PENDING, not sent yet: sent without members first, unanswered for 3.0 s",
        ),
        (
            verdict(state="REJECTED", message="cannot bind", version="bbbbbbbbbbbb22"),
            'node e1 REJECTED "cannot bind", runs bbbbbbbbbbbb',
        ),
    ],
)
def test_why_tells_what_is_sent_from_what_is_not(run, api, said, line):
    cluster = {"typeUrl": ENVOY + "cluster.v3.Cluster", "name": POOL, "nodes": [said]}
    pool = {"pool": POOL, "resources": [cluster]}
    api.answer("LoadBalancerService/Explain", {"name": POOL, "status": {}, "pools": [pool]})
    assert f"    cluster pool/web: {line}" in run("tidegate why pool/web").out.splitlines()


def test_why_tells_when_something_was_sent_that_is_not_answered(run, api):
    sent = verdict(sentVersion="cccccccccccc33", sentTime="2026-01-01T00:00:00Z", version="bb")
    cluster = {
        "typeUrl": ENVOY + "cluster.v3.Cluster",
        "name": POOL,
        "version": "cccccccccccc33",
        "nodes": [sent],
    }
    pool = {"pool": POOL, "resources": [cluster]}
    api.answer("LoadBalancerService/Explain", {"name": POOL, "status": {}, "pools": [pool]})
    out = run("tidegate why pool/web").out
    assert "node e1 PENDING, sent cccccccccccc at " in out
    assert ", not answered, runs bb" in out
