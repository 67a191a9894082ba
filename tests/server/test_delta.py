"""The delta form over real streams: order, NACK, reconnect."""

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS, DeltaClient

MEMBER = "127.0.0.1:9001"


def names(answer):
    return [entry.name for entry in answer.resources]


def held(answer):
    return {entry.name: entry.version for entry in answer.resources}


def members(entry):
    assignment = ClusterLoadAssignment()
    entry.resource.Unpack(assignment)
    return sum(len(group.lb_endpoints) for group in assignment.endpoints)


async def follow(stream, *, listeners=True):
    """Subscribes to clusters and listeners; both empty."""
    for type_url in (CDS, LDS) if listeners else (CDS,):
        await stream.send(type_url)
        assert names(await stream.take(type_url)) == []


async def whole(stream):
    """Takes the tree `a` as Envoy does; returns what is held: type -> name -> version."""
    versions = {}
    await stream.send(CDS)
    versions[CDS] = held(await stream.take(CDS))
    await stream.send(EDS, subscribe=["a"])
    await stream.take(EDS)
    versions[EDS] = held(await stream.take(EDS))
    await stream.send(LDS)
    versions[LDS] = held(await stream.take(LDS))
    await stream.send(RDS, subscribe=["a"])
    versions[RDS] = held(await stream.take(RDS))
    return versions


async def test_a_runtime_that_does_not_exist_is_answered_as_removed(cache, address):
    # Envoy 1.40 waits 15 s for its runtime layer if the answer does not name it (measured).
    cache.publish("fleet", [])
    async with DeltaClient(address) as stream:
        await stream.send(RTDS, subscribe=["runtime"])
        answer = await stream.take(RTDS)
        assert list(answer.removed_resources) == ["runtime"]


async def test_a_whole_tree_arrives_in_order(cache, address):
    cache.publish("fleet", [])
    async with DeltaClient(address) as stream:
        await follow(stream)
        cache.publish("fleet", resources.vip("a", 10_000, [MEMBER]))
        clusters = await stream.receive(CDS)
        assert names(clusters) == ["a"]
        await stream.send(EDS, subscribe=["a"])
        # No listener leads to it yet: without members it warms at once, whatever its check does.
        for count in (0, 1):
            answer = await stream.take(EDS)
            assert [members(entry) for entry in answer.resources] == [count]
        await stream.silent()  # the listener waits for its cluster
        await stream.ack(clusters)
        assert names(await stream.take(LDS)) == ["a"]
        await stream.send(RDS, subscribe=["a"])
        assert names(await stream.take(RDS)) == ["a"]
        await stream.silent()


async def test_a_changed_cluster_has_its_endpoints_right_behind(cache, address):
    tree = resources.vip("a", 10_000, [MEMBER])
    cache.publish("fleet", tree)
    async with DeltaClient(address) as stream:
        await whole(stream)
        cache.publish("fleet", [resources.cluster("a", connect_timeout=2), *tree[1:]])
        changed = await stream.receive(CDS)
        assert names(changed) == ["a"]
        behind = await stream.receive(EDS)
        # A listener refers to it: no moment without members.
        assert [members(entry) for entry in behind.resources] == [1]


async def test_removal_runs_against_the_references(cache, address):
    cache.publish("fleet", resources.vip("a", 10_000, [MEMBER]))
    async with DeltaClient(address) as stream:
        await whole(stream)
        cache.publish("fleet", [])
        listener = await stream.receive(LDS)
        assert list(listener.removed_resources) == ["a"]
        await stream.silent()  # the cluster goes when the listener is confirmed gone
        await stream.ack(listener)
        removed = set()
        while (CDS, "a") not in removed:
            answer = await stream.take()
            removed |= {(answer.type_url, name) for name in answer.removed_resources}


async def test_a_nack_is_answered_by_nothing_until_the_content_changes(cache, server, address):
    cache.publish("fleet", [])
    async with DeltaClient(address) as stream:
        await follow(stream)
        good, bad = resources.http_listener("good", 1), resources.http_listener("bad", 2)
        cache.publish("fleet", [good, bad, *both_routes()])
        answer = await stream.receive(LDS)
        assert sorted(names(answer)) == ["bad", "good"]
        text = "Error adding/updating listener(s) bad: cannot bind '127.0.0.1:2'"
        await stream.nack(answer, text)
        # What was in the response beside the culprit is sent once more, without it.
        again = await stream.take(LDS)
        assert names(again) == ["good"]
        await stream.silent()
        sent = server.traffic.resources
        cache.publish("fleet", [good, bad, *both_routes(), resources.endpoints("late")])
        await stream.silent()
        assert server.traffic.resources == sent
        fixed = resources.http_listener("bad", 3)
        cache.publish("fleet", [good, fixed, *both_routes()])
        assert names(await stream.take(LDS, within=5)) == ["bad"]


def both_routes():
    tree = []
    for name in ("good", "bad"):
        route = resources.route(name, "")
        del route.virtual_hosts[:]
        tree.append(route)
    return tree


async def test_an_unchanged_reconnect_is_sent_nothing(cache, server, address):
    cache.publish("fleet", resources.vip("a", 10_000, [MEMBER]))
    async with DeltaClient(address) as stream:
        versions = await whole(stream)
    before = server.traffic.resources
    async with DeltaClient(address) as stream:
        await stream.send(EDS, subscribe=["a"], initial=versions[EDS])
        await stream.send(RDS, subscribe=["a"], initial=versions[RDS])
        await stream.send(CDS, initial=versions[CDS])
        await stream.send(LDS, initial=versions[LDS])
        # SPEC: a wildcard is answered, if only with nothing; names that are held need no answer.
        answers = [await stream.take() for _ in range(2)]
        assert {answer.type_url for answer in answers} == {CDS, LDS}
        await stream.silent()
    assert server.traffic.resources == before


async def test_what_changed_and_what_went_while_away_is_told(cache, address):
    cache.publish("fleet", [resources.cluster("a"), resources.endpoints("a", [MEMBER])])
    async with DeltaClient(address) as stream:
        await stream.send(CDS, initial={"a": "other", "gone": "1"})
        # Nothing is removed before the types that could refer to it are known.
        await stream.send(EDS, subscribe=["a"])
        await stream.send(LDS)
        await stream.send(RDS, subscribe=["gone"])
        answer = await stream.take(CDS)
        changed, removed = names(answer), list(answer.removed_resources)
        while "gone" not in removed or "a" not in changed:
            answer = await stream.take()
            if answer.type_url == CDS:
                changed += names(answer)
                removed += list(answer.removed_resources)
        assert (changed, removed) == (["a"], ["gone"])


async def test_the_bytes_of_one_change_do_not_depend_on_other_pools(cache, server, address):
    async def one_change(pools: int) -> int:
        fleet = f"fleet-{pools}"
        tree = []
        for index in range(pools):
            tree += [
                resources.cluster(f"p{index:04}"),
                resources.endpoints(f"p{index:04}", [MEMBER]),
            ]
        cache.publish(fleet, tree)
        async with DeltaClient(address, fleet=fleet) as stream:
            await stream.send(CDS)
            await stream.send(EDS, subscribe=names(await stream.take(CDS)))
            seen = 0
            while seen < pools:
                seen += sum(members(entry) for entry in (await stream.take(EDS)).resources)
            before = server.traffic.sent_bytes
            tree[1] = resources.endpoints("p0000", [MEMBER, "127.0.0.1:9002"])
            cache.publish(fleet, tree)
            assert names(await stream.take(EDS)) == ["p0000"]
            return server.traffic.sent_bytes - before

    few, many = await one_change(2), await one_change(300)
    assert abs(few - many) <= 4  # the nonce's digits
