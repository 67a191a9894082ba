"""What a write sends, prints and ends with."""

import json

import pytest
from google.protobuf import duration_pb2

POOL = {
    "name": "projects/acme/pools/web",
    "revision": "1043",
    "protocol": "HTTP",
    "lbMethod": "ROUND_ROBIN",
    "provisioningStatus": "PENDING_CREATE",
    "nodesTotal": 4,
    "placement": {"fleet": "fleets/edge"},
}
LIVE = {**POOL, "provisioningStatus": "ACTIVE", "nodesApplied": 4}


def test_a_write_without_waiting_says_its_revision_and_how_far_it_came(run, api):
    api.answer("PoolService/CreatePool", POOL)
    ran = run("tidegate pool create web --protocol http")
    assert ran.code == 0
    assert ran.err == "pool/web created: revision 1043, applied 0/4, PENDING_CREATE\n"
    assert ran.out.splitlines() == [
        "NAME  STATUS          APPLIED  PROTOCOL  LB_METHOD    MONITORS  FLEET  WHY",
        "web   PENDING_CREATE  0/4      HTTP      ROUND_ROBIN            edge",
    ]
    assert api.requests("PoolService/CreatePool") == [
        {
            "parent": "projects/acme",
            "poolId": "web",
            "pool": {"protocol": "HTTP", "lbMethod": "ROUND_ROBIN"},
        }
    ]


def test_wait_applied_shows_progress_then_the_receipt_then_the_object_as_it_is(run, api):
    api.answer("PoolService/CreatePool", POOL)
    api.answer(
        "LoadBalancerService/WaitForApplied",
        {
            "outcome": "TIMED_OUT",
            "nodesApplied": 3,
            "nodesTotal": 4,
            "missing": [{"node": "fleets/edge/nodes/e4"}],
        },
        {"outcome": "APPLIED", "nodesApplied": 4, "nodesTotal": 4},
    )
    api.answer("PoolService/GetPool", LIVE)
    ran = run("tidegate pool create web --protocol http --wait=applied")
    progress, receipt = ran.err.splitlines()
    assert progress == "applied 3/4 nodes ... waiting for edge/e4"
    assert receipt.startswith("pool/web created: revision 1043, applied 4/4 in ")
    assert receipt.endswith(" ms")
    assert "ACTIVE" in ran.out
    waits = api.requests("LoadBalancerService/WaitForApplied")
    assert [(each["name"], each["revision"]) for each in waits] == [(POOL["name"], "1043")] * 2


def test_a_rejection_while_waiting_is_exit_5_with_envoys_own_words(run, api):
    api.answer("PoolService/CreatePool", POOL)
    api.answer(
        "LoadBalancerService/WaitForApplied",
        {
            "outcome": "REJECTED",
            "nodesApplied": 3,
            "nodesTotal": 4,
            "statusDetail": {
                "reason": "REJECTED_BY_ENVOY",
                "message": "cannot bind '203.0.113.9:443'",
                "node": "fleets/edge/nodes/e3",
            },
        },
    )
    api.answer("PoolService/GetPool", {**POOL, "provisioningStatus": "ERROR"})
    ran = run("tidegate pool create web --protocol http --wait=applied")
    assert ran.code == 5
    assert "cannot bind '203.0.113.9:443'" in ran.err
    assert "edge/e3" in ran.err
    assert "next: tidegate why pool/web" in ran.err


def test_a_wait_that_runs_out_is_exit_6_and_names_what_is_missing(run, api):
    api.answer("PoolService/CreatePool", POOL)
    api.answer(
        "LoadBalancerService/WaitForApplied",
        {
            "outcome": "TIMED_OUT",
            "nodesTotal": 4,
            "missing": [{"node": "fleets/edge/nodes/e4", "resources": [POOL["name"]]}],
        },
    )
    api.answer("PoolService/GetPool", POOL)
    ran = run("tidegate pool create web --protocol http --wait=applied --timeout 1ms")
    assert ran.code == 6
    assert "node edge/e4 has still to confirm pool/web" in ran.err


def test_a_dry_run_asks_for_validation_only_and_says_so(run, api):
    api.answer("PoolService/CreatePool", POOL)
    ran = run("tidegate pool create web --protocol http --dry-run --wait=applied")
    assert ran.err == "pool/web would be created; nothing was stored\n"
    assert api.requests("PoolService/CreatePool")[0]["validateOnly"] is True


def test_an_update_sends_the_named_fields_and_a_mask_of_them(run, api):
    api.answer("MemberService/UpdateMember", {"name": "projects/acme/pools/web/members/m1"})
    run("tidegate member update web/m1 --weight 0 --drain-timeout 1m --etag 'x'")
    request = api.requests("MemberService/UpdateMember")[0]
    assert request["member"] == {
        "name": "projects/acme/pools/web/members/m1",
        "etag": "x",
        "weight": 0,
        "drainTimeout": f"{duration_pb2.Duration(seconds=60).ToJsonString()}",
    }
    assert set(request["updateMask"].split(",")) == {"weight", "drainTimeout"}


def test_persistence_none_clears_it_by_the_mask(run, api):
    api.answer("VipService/UpdateVip", {"name": "projects/acme/vips/web"})
    run("tidegate vip update web --persistence none")
    request = api.requests("VipService/UpdateVip")[0]
    assert request == {
        "vip": {"name": "projects/acme/vips/web"},
        "updateMask": "sessionPersistence",
    }


def test_an_update_that_changes_nothing_is_a_usage_error(run, api):
    ran = run("tidegate vip update web")
    assert ran.code == 2
    assert "nothing to change" in ran.err
    assert api.asked == []


def test_draining_switches_the_member_off(run, api):
    api.answer("MemberService/UpdateMember", {"name": "projects/acme/pools/web/members/m1"})
    run("tidegate member drain web/m1 --within 5m")
    request = api.requests("MemberService/UpdateMember")[0]
    assert request["member"]["adminStateUp"] is False
    assert request["member"]["drainTimeout"] == "300s"


def test_json_is_the_answer_itself_on_stdout(run, api):
    api.answer("PoolService/CreatePool", POOL)
    ran = run("tidegate pool create web --protocol http -o json")
    assert json.loads(ran.out) == POOL


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("tidegate pool create Web_1 --protocol http", "lower-case"),
        ("tidegate member create web --address 10.0.0.1 --port 80", "POOL/MEMBER"),
        ("tidegate monitor create c --type http --delay soon", "no duration"),
        ("tidegate pool create web --protocol http --label prod", "'='"),
        ("tidegate fleet create edge --capability lb_metod=source_ip", "did you mean 'lb_method'"),
        ("tidegate vip update web --persistence http_cooky", "did you mean 'HTTP_COOKIE'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_call(run, api, line, word):
    ran = run(line)
    assert ran.code == 2
    assert word in ran.err
    assert ran.out == ""
    assert api.asked == []


def test_a_quotas_receipt_names_the_project(run, api):
    api.answer("QuotaService/UpdateQuota", {"name": "projects/blue/quota", "pools": 50})
    assert run("tidegate quota update blue --pools 50").err == "quota/blue updated\n"
