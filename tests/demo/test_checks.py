"""What the demo checks: each fault is named."""

import pytest

from lbaas.v1.status_pb2 import OperatingStatus, ProvisioningStatus
from lbaas.v1.vip_pb2 import VipStats
from tidegate.demo_checks import (
    check_kept,
    check_moved,
    check_spread,
    check_stats,
    check_statuses,
)
from tidegate.demo_failure import DemoFailure
from tidegate.demo_http import Reply
from tidegate.demo_tenant import StatusRow

REFUSED = Reply(503, "no healthy upstream")
ONE, TWO = Reply(200, "m1\n"), Reply(200, "m2\n")
NEW_ONE, NEW_TWO = Reply(200, "m1\n", cookie=True), Reply(200, "m2\n", cookie=True)
BOTH = {"e1": 1, "e2": 1}


def row(**fields):
    well = {
        "label": "vip/web",
        "provisioning": ProvisioningStatus.ACTIVE,
        "operating": OperatingStatus.ONLINE,
        "applied": 2,
        "total": 2,
    }
    return StatusRow(**{**well, **fields})


@pytest.mark.parametrize(
    ("replies", "by_node", "why"),
    [
        ([ONE, TWO, REFUSED], BOTH, "1 of 3 failed: 503 no healthy upstream"),
        ([ONE, ONE], BOTH, "m2 served nothing"),
        ([ONE, TWO, Reply(200, "m3\n")], BOTH, "m3 is stopped and served"),
        ([ONE, TWO], {"e1": 2, "e2": 0}, "node e2 took no request"),
    ],
)
def test_all_members_and_nodes_serve_and_nothing_fails(replies, by_node, why):
    check_spread([ONE, TWO], ["m1", "m2"], BOTH)
    with pytest.raises(DemoFailure) as caught:
        check_spread(replies, ["m1", "m2"], by_node)
    assert caught.value.why == (why,)


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ([ONE, REFUSED], "1 of 2 failed: 503 no healthy upstream"),
        ([ONE, TWO], "m2 served ann, not m1"),
        ([ONE, NEW_ONE], "ann was given another cookie"),
    ],
)
def test_a_client_is_kept_by_its_cookie(replies, why):
    check_kept("ann", [ONE, ONE], on="m1")
    with pytest.raises(DemoFailure) as caught:
        check_kept("ann", replies, on="m1")
    assert caught.value.why == (why,)


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ([NEW_TWO, REFUSED], "1 of 2 failed: 503 no healthy upstream"),
        ([NEW_ONE, ONE], "m1 is stopped and served"),
        ([NEW_TWO, Reply(200, "m3\n")], "bob was served by m2, m3, not by one"),
        ([TWO, TWO], "bob was given 0 cookies, not one with the first answer"),
        ([NEW_TWO, NEW_TWO], "bob was given 2 cookies, not one with the first answer"),
    ],
)
def test_a_client_of_a_stopped_member_moves_once(replies, why):
    assert check_moved("bob", [NEW_TWO, TWO], away="m1") == "m2"
    with pytest.raises(DemoFailure) as caught:
        check_moved("bob", replies, away="m1")
    assert why in caught.value.why


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"provisioning": ProvisioningStatus.ERROR}, "is ERROR, ONLINE, on 2 of 2 nodes"),
        ({"operating": OperatingStatus.OFFLINE}, "is ACTIVE, OFFLINE, on 2 of 2 nodes"),
        ({"applied": 1}, "is ACTIVE, ONLINE, on 1 of 2 nodes"),
        ({"applied": 1, "total": 1}, "is ACTIVE, ONLINE, on 1 of 1 nodes"),
    ],
)
def test_every_object_is_live_on_both_nodes_and_serves(bad, words):
    check_statuses([row()], nodes=2)
    with pytest.raises(DemoFailure) as caught:
        check_statuses([row(), row(**bad)], nodes=2)
    assert caught.value.why == (f"vip/web {words}",)


@pytest.mark.parametrize(
    ("stats", "why"),
    [
        ({"requests": 9}, "9 requests are counted, 10 were sent"),
        ({"requests": 11}, "11 requests are counted, 10 were sent"),
        ({"errors": 1}, "1 errors are counted"),
        ({"nodes_reporting": 1}, "1 of 2 nodes report, not 2"),
    ],
)
def test_statistics_are_what_was_sent(stats, why):
    well = {"requests": 10, "nodes_reporting": 2, "nodes_total": 2}
    check_stats(VipStats(**well), sent=10, nodes=2)
    with pytest.raises(DemoFailure) as caught:
        check_stats(VipStats(**{**well, **stats}), sent=10, nodes=2)
    assert caught.value.why == (why,)
