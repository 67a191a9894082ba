"""WaitForApplied: applied, refused, gone, timed out; never lost."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from api.server import ApiServer
from api.waiting import Wait, Waits
from lbaas.model.objects import Rejection
from lbaas.model.status import Progress, StatusDetail
from lbaas.store import placements, verdicts
from lbaas.store.feed import Subscription
from lbaas.store.store import Store
from lbaas.v1.load_balancer_service_pb2 import WaitForAppliedRequest, WaitOutcome
from lbaas.v1.member_service_pb2 import BatchCreateMembersRequest, CreateMemberRequest
from lbaas.v1.pool_service_pb2 import DeletePoolRequest, UpdatePoolRequest
from tests.api import make
from tests.api.client import Client, Code, refused
from tests.api.fleet_side import FleetSide

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
VIP = f"{make.ACME}/vips/web"


def wait(client: Client, name: str = make.WEB, revision: int = 0, **timeout: int):
    request = WaitForAppliedRequest(name=name, revision=revision)
    if timeout:
        request.timeout.FromTimedelta(timedelta(**timeout))
    return asyncio.ensure_future(client.trees.WaitForApplied(request))


async def live(store: Store, name: str, revision: int) -> None:
    await store.write(lambda tx: verdicts.record(tx, live={name: revision}))


class Entered:
    """Tells when waits have been entered: their objects were read, and nothing was decided."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read: list[str] = []
        self.ended: set[str] = set()

    async def of(self, *names: str) -> None:
        """Returns once each wait of these names was looked at; a name twice: two waits."""
        while Counter(names) - Counter(self.read):
            await self._store.read(lambda tx: tx.revision)
        assert not self.ended & set(names)


@pytest.fixture
def entered(store: Store, monkeypatch: pytest.MonkeyPatch) -> Entered:
    noted, decide = Entered(store), Waits._decide

    def noting(self: Waits, wait: Wait, picture) -> None:
        decide(self, wait, picture)
        noted.read.append(wait.name)
        noted.ended |= {wait.name} if wait.done.done() else set()

    monkeypatch.setattr(Waits, "_decide", noting)
    return noted


async def test_a_wait_ends_when_the_change_is_live(
    client: Client, entered: Entered, store: Store, fleet_side: FleetSide
) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    fleet_side.progresses[make.WEB] = Progress(applied=2, total=2)
    waiting = wait(client, revision=made.revision)
    await entered.of(make.WEB)

    await live(store, make.WEB, made.revision)
    answer = await waiting

    assert answer.outcome == WaitOutcome.APPLIED
    assert (answer.nodes_applied, answer.nodes_total) == (2, 2)
    assert answer.revision == made.revision


async def test_what_is_live_already_answers_at_once(client: Client, store: Store) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    await live(store, make.WEB, made.revision)

    assert (await wait(client)).outcome == WaitOutcome.APPLIED
    assert (await wait(client, revision=made.revision)).outcome == WaitOutcome.APPLIED


async def test_a_description_needs_no_node(client: Client, store: Store) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    await live(store, make.WEB, made.revision)
    after = await client.pools.UpdatePool(
        UpdatePoolRequest(pool=make.Pool(name=make.WEB, description="words"))
    )
    assert after.revision > made.revision

    assert (await wait(client, revision=after.revision)).outcome == WaitOutcome.APPLIED


async def test_a_rejection_ends_it_with_envoys_words(
    client: Client, entered: Entered, store: Store
) -> None:
    await client.pools.CreatePool(make.create_pool())
    made = await client.vips.CreateVip(make.create_vip())
    waiting = wait(client, VIP, made.revision)
    await entered.of(VIP)
    rejection = Rejection(
        fleet="fleets/edge",
        node="fleets/edge/nodes/n1",
        type_url="type.googleapis.com/envoy.config.listener.v3.Listener",
        resource=VIP,
        version="v1",
        message="cannot bind '203.0.113.9:443'",
        objects=((VIP, made.revision),),
        time=NOON,
    )
    await store.write(lambda tx: verdicts.record(tx, live={}, rejected=[rejection]))

    answer = await waiting

    assert answer.outcome == WaitOutcome.REJECTED
    assert answer.status_detail.reason == "REJECTED_BY_ENVOY"
    assert answer.status_detail.message == "cannot bind '203.0.113.9:443'"
    assert answer.status_detail.node == "fleets/edge/nodes/n1"


async def test_no_fleet_ends_the_wait_of_all_that_lives_in_the_pool(
    client: Client, entered: Entered, store: Store
) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip())
    waits = [wait(client), wait(client, VIP)]
    await entered.of(make.WEB, VIP)

    await store.write(lambda tx: placements.place(tx, make.WEB, fleet="", reason="edge: full"))

    for answer in await asyncio.gather(*waits):
        assert answer.outcome == WaitOutcome.REJECTED
        assert answer.status_detail.reason == "NO_ELIGIBLE_FLEET"
        assert "edge: full" in answer.status_detail.message


async def test_a_purge_ends_the_wait_for_a_delete(
    client: Client, entered: Entered, store: Store
) -> None:
    await client.pools.CreatePool(make.create_pool())
    gone = await client.pools.DeletePool(DeletePoolRequest(name=make.WEB))
    by_revision, by_name = wait(client, revision=gone.revision), wait(client)
    await entered.of(make.WEB, make.WEB)

    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[make.WEB]))

    assert (await by_revision).outcome == WaitOutcome.APPLIED
    assert (await by_name).outcome == WaitOutcome.APPLIED
    # Too late to see it there, yet the change rows know it.
    assert (await wait(client, revision=gone.revision)).outcome == WaitOutcome.APPLIED
    await refused(wait(client), Code.NOT_FOUND)


async def test_what_was_live_before_its_delete_is_not_gone_yet(
    client: Client, entered: Entered, store: Store
) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    await live(store, make.WEB, made.revision)
    gone = await client.pools.DeletePool(DeletePoolRequest(name=make.WEB))
    waiting = wait(client, revision=gone.revision)
    await entered.of(make.WEB)
    assert (await wait(client, revision=made.revision)).outcome == WaitOutcome.APPLIED

    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[make.WEB]))

    assert (await waiting).outcome == WaitOutcome.APPLIED


async def test_a_delete_ends_the_wait_for_an_update_when_it_is_gone(
    client: Client, entered: Entered, store: Store
) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    waiting = wait(client, revision=made.revision)
    await entered.of(make.WEB)
    await client.pools.DeletePool(DeletePoolRequest(name=make.WEB))
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[make.WEB]))

    assert (await waiting).outcome == WaitOutcome.APPLIED


async def test_out_of_time_it_says_who_and_what_is_missing(
    client: Client, fleet_side: FleetSide
) -> None:
    await client.pools.CreatePool(make.create_pool())
    fleet_side.progresses[make.WEB] = Progress(
        applied=1,
        total=2,
        missing=(("fleets/edge/nodes/n2", make.WEB), ("fleets/edge/nodes/n2", "other")),
        waiting=StatusDetail(reason="WAITING_FOR_NODE", message="sent, unanswered 2.1 s"),
    )

    answer = await wait(client, milliseconds=100)

    assert answer.outcome == WaitOutcome.TIMED_OUT
    assert (answer.nodes_applied, answer.nodes_total) == (1, 2)
    (missing,) = answer.missing
    assert missing.node == "fleets/edge/nodes/n2"
    assert list(missing.resources) == [make.WEB, "other"]
    assert answer.status_detail.reason == "WAITING_FOR_NODE"


async def test_a_notice_that_was_dropped_wakes_every_wait(
    client: Client, entered: Entered, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subscription, "MOST", 0)
    made = await client.pools.CreatePool(make.create_pool())
    waiting = wait(client)
    await entered.of(make.WEB)

    await live(store, make.WEB, made.revision)

    assert (await waiting).outcome == WaitOutcome.APPLIED


async def test_what_reached_no_fleet_yet_says_so(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())

    answer = await wait(client, milliseconds=100)

    assert answer.outcome == WaitOutcome.TIMED_OUT
    assert answer.status_detail.reason == "NOT_RENDERED"


async def test_bad_waits_are_refused(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    request = WaitForAppliedRequest(name=make.WEB, revision=-1, timeout=Duration())

    refusal = await refused(client.trees.WaitForApplied(request), Code.INVALID_ARGUMENT)
    assert set(refusal.fields) == {"revision", "timeout"}
    await refused(wait(client, revision=10**12), Code.INVALID_ARGUMENT)
    await refused(wait(client, f"{make.ACME}/pools/none"), Code.NOT_FOUND)
    await refused(wait(client, f"{make.ACME}/pools/none", revision=1), Code.NOT_FOUND)
    await refused(wait(client, "fleets/edge"), Code.INVALID_ARGUMENT)


async def test_a_thousand_waits_and_each_ends_by_its_own_verdict(
    client: Client, entered: Entered, store: Store
) -> None:
    await client.pools.CreatePool(make.create_pool())
    made = await client.members.BatchCreateMembers(
        BatchCreateMembersRequest(
            parent=make.WEB,
            requests=[
                CreateMemberRequest(member_id=f"m{n}", member=make.member(n)) for n in range(1000)
            ],
        )
    )
    waits = {each.name: wait(client, each.name, each.revision) for each in made.members}
    await entered.of(*waits)
    one, *others = waits

    await live(store, one, made.members[0].revision)

    assert (await waits[one]).outcome == WaitOutcome.APPLIED
    assert not any(waits[name].done() for name in others)
    await store.write(
        lambda tx: verdicts.record(tx, live=dict.fromkeys(others, made.members[0].revision))
    )
    answers = await asyncio.gather(*(waits[name] for name in others))
    assert {answer.outcome for answer in answers} == {WaitOutcome.APPLIED}


async def test_a_stopping_server_ends_waits(
    client: Client, entered: Entered, store: Store, server: ApiServer
) -> None:
    await client.pools.CreatePool(make.create_pool())
    waiting = wait(client)
    await entered.of(make.WEB)

    await server.stop()

    refusal = await refused(waiting, Code.UNAVAILABLE)
    assert refusal.reason == "SERVER_STOPPING"
