"""Over gRPC: what the canary has not confirmed is not sent to any other node."""

import pytest

from tests.harness import resources
from tests.harness.ads_client import CDS, LDS, DeltaClient, SotwClient
from tests.harness.waiting import until
from xds.cache import SnapshotCache

BOTH = pytest.mark.parametrize("client", [DeltaClient, SotwClient])


def changed():
    return resources.cluster("pool", connect_timeout=2.0)


@pytest.fixture(autouse=True)
def loaded(cache: SnapshotCache) -> None:
    cache.publish("fleet", [resources.cluster("pool"), resources.cluster("other")])
    cache.canary("fleet", "first")


@BOTH
async def test_a_change_is_sent_to_the_canary_and_then_to_the_rest(client, cache, address):
    async with client(address, node="first") as first, client(address, node="second") as second:
        for stream in (first, second):
            await stream.send(CDS)
            await stream.take(CDS)
        await confirmed(cache, 1)
        cache.publish("fleet", [changed(), resources.cluster("other")])
        await second.silent()
        answer = await first.receive(CDS)
        await second.silent()
        await first.ack(answer)
        await second.take(CDS)
        await confirmed(cache, 2)


@BOTH
async def test_what_the_canary_refuses_is_not_sent_to_the_rest(client, cache, address):
    async with client(address, node="first") as first, client(address, node="second") as second:
        for stream in (first, second):
            await stream.send(CDS)
            await stream.take(CDS)
        await confirmed(cache, 1)
        cache.publish("fleet", [changed(), resources.cluster("other")])
        await first.nack(await first.receive(CDS), "cluster pool: bad")
        await first.silent()
        await second.silent()
        async with client(address, node="late") as late:
            await late.send(CDS)
            assert values(await late.take(CDS)) == before()
        canary = cache.canary_of("fleet")
        assert {key.name for key in canary.held} == {"pool"}


async def test_the_listener_waits_with_its_cluster(cache, address):
    listener = resources.tcp_listener("front", 10_000, "pool-2")
    async with (
        DeltaClient(address, node="first") as first,
        DeltaClient(address, node="second") as second,
    ):
        for stream in (first, second):
            for kind in (CDS, LDS):
                await stream.send(kind)
                await stream.take(kind)
        new = resources.cluster("pool-2"), resources.endpoints("pool-2")
        cache.publish("fleet", [resources.cluster("pool"), resources.cluster("other"), *new])
        await second.silent()
        cache.publish(
            "fleet", [resources.cluster("pool"), resources.cluster("other"), *new, listener]
        )
        await first.receive(CDS)
        await second.silent()
        cache.canary("fleet", None)  # an operator does not want to wait
        assert [one.name for one in (await second.take(CDS)).resources] == ["pool-2"]


def values(answer) -> set[bytes]:
    """The messages in a response, delta or state of the world."""
    return {getattr(one, "resource", one).value for one in answer.resources}


def before() -> set[bytes]:
    return {resources.cluster(name).SerializeToString() for name in ("pool", "other")}


async def confirmed(cache: SnapshotCache, revision: int) -> None:
    """Waits until the ACKs of all nodes have come in."""

    async def so() -> bool:
        return all(stream.in_step(revision) for stream in cache.streams("fleet"))

    await until(so, within=5, what=f"all are in step with {revision}")
