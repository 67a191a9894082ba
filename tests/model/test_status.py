"""Status: a pure function of stored facts, in which nothing is stuck."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model.enums import OperatingStatus
from lbaas.model.enums import ProvisioningStatus as P
from lbaas.model.health import NO_AGENT, Health
from lbaas.model.objects import EPOCH, Placement, Record, Rejection
from lbaas.model.status import Progress, StatusDetail, status_of
from tests.model.samples import MEMBER, MONITOR, POOL, VIP

PLACED = replace(POOL, placement=Placement(fleet="fleets/edge", reason="fits"))
HOMELESS = replace(POOL, placement=Placement(fleet="", reason="fleets/edge: is full"))


def rejection(*objects):
    return Rejection(
        fleet="fleets/edge",
        node="fleets/edge/nodes/e1",
        type_url="type.googleapis.com/envoy.config.listener.v3.Listener",
        resource=VIP.name,
        version="v",
        message="cannot bind '203.0.113.7:80'",
        objects=objects,
        time=EPOCH,
    )


def status(
    obj,
    *,
    rejections=(),
    pool=PLACED,
    progress=Progress(),  # noqa: B008
    health=NO_AGENT,
    **record,
):
    changed = replace(obj, record=Record(**record))
    return status_of(changed, rejections=rejections, pool=pool, progress=progress, health=health)


@pytest.mark.parametrize(
    ("record", "up", "wanted"),
    [
        ({"spec_rev": 5}, True, P.PENDING_CREATE),
        ({"spec_rev": 5, "live_rev": 4}, True, P.PENDING_UPDATE),
        ({"spec_rev": 5, "live_rev": 5}, True, P.ACTIVE),
        ({"spec_rev": 5, "live_rev": 9}, True, P.ACTIVE),
        ({"spec_rev": 5, "live_rev": 9}, False, P.INACTIVE),
        ({"spec_rev": 5, "live_rev": 4}, False, P.PENDING_UPDATE),
        ({"spec_rev": 5, "live_rev": 5, "deleted_rev": 6}, True, P.PENDING_DELETE),
    ],
)
def test_revisions_make_the_status(record, up, wanted):
    got = status(replace(VIP, admin_state_up=up), **record)
    assert got.provisioning is wanted
    assert got.operating is OperatingStatus.UNKNOWN
    assert got.reconciling is wanted.startswith("PENDING")


def test_a_rejection_of_what_is_written_now_is_an_error_in_envoys_words():
    got = status(VIP, rejections=[rejection((VIP.name, 5))], spec_rev=5, live_rev=3)
    assert got.provisioning is P.ERROR
    assert (got.detail.reason, got.detail.message, got.detail.node) == (
        "REJECTED_BY_ENVOY",
        "cannot bind '203.0.113.7:80'",
        "fleets/edge/nodes/e1",
    )


def test_a_deleted_object_is_pending_delete_though_it_was_rejected():
    refused = [rejection((VIP.name, 5))]
    got = status(VIP, rejections=refused, spec_rev=5, deleted_rev=6)
    assert got.provisioning is P.PENDING_DELETE


@pytest.mark.parametrize("objects", [(), ((VIP.name, 4),), ((POOL.name, 9),)])
def test_a_rejection_of_what_was_or_of_another_is_none(objects):
    got = status(VIP, rejections=[rejection(*objects)], spec_rev=5, live_rev=3)
    assert got.provisioning is P.PENDING_UPDATE


@pytest.mark.parametrize("obj", [POOL, MEMBER, VIP])
def test_what_lives_in_a_pool_without_a_fleet_is_an_error_that_says_why(obj):
    got = status(obj, pool=HOMELESS, spec_rev=5)
    assert got.provisioning is P.ERROR
    assert (got.detail.reason, got.detail.message) == ("NO_ELIGIBLE_FLEET", "fleets/edge: is full")


def test_a_pool_not_placed_yet_is_pending():
    assert status(POOL, pool=POOL, spec_rev=5).provisioning is P.PENDING_CREATE


def test_a_monitor_needs_no_fleet():
    assert status(MONITOR, pool=None, spec_rev=5, live_rev=5).provisioning is P.ACTIVE


def test_an_address_in_use_is_an_error_that_tells_nothing_of_the_other():
    taken = replace(VIP, address_in_use_by="projects/evil/vips/secret")
    got = status(taken, spec_rev=5)
    assert (got.provisioning, got.detail.reason) == (P.ERROR, "ADDRESS_IN_USE")
    assert "evil" not in repr(got)
    assert "203.0.113.7:80" in got.detail.message


def test_what_pends_says_for_what_it_waits():
    missing = Progress(
        applied=3, total=4, missing=(("fleets/edge/nodes/e3", VIP.name), ("n", "another"))
    )
    got = status(VIP, progress=missing, spec_rev=5)
    assert (got.detail.reason, got.detail.node) == ("NOT_CONFIRMED_YET", "fleets/edge/nodes/e3")
    assert "and 1 more" in got.detail.message
    waiting = replace(missing, waiting=StatusDetail(reason="NODE_NOT_ACKING"))
    assert status(VIP, progress=waiting, spec_rev=5).detail.reason == "NODE_NOT_ACKING"


def test_what_is_live_and_unseen_says_that_there_is_no_agent():
    got = status(VIP, spec_rev=5, live_rev=5)
    assert (got.operating, got.detail.reason) == (OperatingStatus.UNKNOWN, "NO_AGENT")


DOWN = Health(
    status=OperatingStatus.DEGRADED,
    reason="MEMBERS_DOWN",
    message="1 of 3 members is OFFLINE",
    node="fleets/edge/nodes/e3",
    time=datetime(2031, 5, 4, tzinfo=UTC),
)


def test_the_operating_status_is_what_the_agents_make_of_it():
    got = status(POOL, health=DOWN, spec_rev=5, live_rev=5)
    assert (got.provisioning, got.operating) == (P.ACTIVE, OperatingStatus.DEGRADED)
    assert got.detail == StatusDetail(
        reason="MEMBERS_DOWN",
        message="1 of 3 members is OFFLINE",
        fleet="fleets/edge",
        node="fleets/edge/nodes/e3",
        time=DOWN.time,
    )
    well = Health(status=OperatingStatus.ONLINE)
    assert status(POOL, health=well, spec_rev=5, live_rev=5).detail is None


def test_what_keeps_it_from_being_live_is_told_first():
    refused = status(VIP, health=DOWN, rejections=[rejection((VIP.name, 5))], spec_rev=5)
    assert (refused.operating, refused.detail.reason) == (
        OperatingStatus.DEGRADED,
        "REJECTED_BY_ENVOY",
    )
    missing = Progress(total=1, missing=(("fleets/edge/nodes/e3", VIP.name),))
    pending = status(VIP, health=DOWN, progress=missing, spec_rev=5)
    assert pending.detail.reason == "NOT_CONFIRMED_YET"


def test_a_member_that_was_deleted_says_that_it_drains():
    drains = Health(status=OperatingStatus.DRAINING, reason="DRAINING", message="until 14:03:20")
    got = status(MEMBER, health=drains, spec_rev=5, live_rev=5, deleted_rev=6)
    assert (got.provisioning, got.detail.reason) == (P.PENDING_DELETE, "DRAINING")


def test_that_nobody_can_tell_is_no_reason_why_it_pends():
    assert status(VIP, spec_rev=5).detail is None


revisions = st.integers(0, 20)
records = st.builds(
    Record,
    spec_rev=st.integers(1, 20),
    live_rev=revisions,
    deleted_rev=st.one_of(st.just(0), st.integers(1, 20)),
)
rejected = st.lists(
    st.tuples(st.sampled_from([VIP.name, POOL.name]), revisions).map(rejection), max_size=3
)
pools = st.sampled_from([PLACED, HOMELESS, POOL])


def of(record, up, rejections, pool):
    vip = replace(VIP, record=record, admin_state_up=up)
    return status_of(vip, rejections=rejections, pool=pool, progress=Progress())


@given(records, st.booleans(), rejected, pools)
def test_nothing_is_stuck(record, up, rejections, pool):
    """From any stored facts: once faults end and nodes confirm, the object settles."""
    settled = replace(record, live_rev=max(record.live_rev, record.spec_rev))
    got = of(settled, up, (), PLACED).provisioning
    wanted = P.PENDING_DELETE if record.deleted_rev else P.ACTIVE if up else P.INACTIVE
    assert got is wanted
    # and a write puts every rejection of what was before out of force
    written = replace(record, spec_rev=21, deleted_rev=0)
    assert of(written, up, rejections, PLACED).provisioning in {P.PENDING_CREATE, P.PENDING_UPDATE}


@given(records, st.booleans(), revisions)
def test_active_is_a_latch(record, up, later):
    """A live_rev that grows, as it always does, takes no object out of ACTIVE."""
    if of(record, up, (), PLACED).provisioning in {P.ACTIVE, P.INACTIVE}:
        grown = replace(record, live_rev=max(record.live_rev, later))
        assert of(grown, up, (), PLACED) == of(record, up, (), PLACED)


@given(records, st.booleans(), rejected, pools)
def test_active_means_live_and_nothing_failed(record, up, rejections, pool):
    got = of(record, up, rejections, pool)
    if got.provisioning is P.ACTIVE:
        assert up
        assert record.live_rev >= record.spec_rev
        assert not record.deleted_rev
        assert pool is not HOMELESS
        assert all(
            name != VIP.name or rev < record.spec_rev
            for each in rejections
            for name, rev in each.objects
        )
    if got.provisioning is P.ERROR:
        assert got.detail is not None
