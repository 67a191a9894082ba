"""Rules 47 to 59: what is in a response."""

import pytest

from tests.conformance.messages import BY_NAME, TYPES, WILD, large, make
from tests.conformance.node import DELTA, SOTW, Node
from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS
from xds.cache import SnapshotCache
from xds.server import serve

MESSAGE_LIMIT = 4 << 20
"""What a gRPC client takes unless told otherwise, bytes."""


def publish(cache, type_url, **tags):
    """Makes the names all that the fleet holds, each in the version of its tag."""
    cache.publish("fleet", [make(type_url, name, tag) for name, tag in tags.items()])


def asked(type_url, *names):
    return () if type_url in WILD else names


@pytest.mark.parametrize("wire", SOTW, ids=str)
@pytest.mark.parametrize("type_url", WILD)
async def test_rule_47_listeners_and_clusters_come_as_full_sets(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    await node.first(type_url)
    publish(cache, type_url, a=0, b=1)
    assert sorted((await node.take(type_url)).names) == ["a", "b"]
    publish(cache, type_url, b=1)
    assert (await node.take(type_url)).names == ["b"]
    publish(cache, type_url)
    assert (await node.take(type_url)).names == []


@pytest.mark.parametrize("wire", SOTW, ids=str)
@pytest.mark.parametrize("type_url", [EDS, RDS])
async def test_rule_48_endpoints_and_routes_come_in_part_and_leave_in_silence(
    cache, node, type_url
):
    publish(cache, type_url, a=0, b=0)
    await node.first(type_url, "a", "b")
    publish(cache, type_url, a=0, b=1)
    assert (await node.take(type_url)).names == ["b"]
    publish(cache, type_url, b=1)
    await node.silent()
    publish(cache, type_url, b=2)
    assert (await node.take(type_url)).names == ["b"]


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_49_only_what_changed_is_sent_and_what_went_is_named(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    await node.first(type_url, *asked(type_url, "a", "b"))
    publish(cache, type_url, a=1, b=0)
    answer = await node.take(type_url)
    assert (answer.names, answer.removed) == (["a"], [])
    publish(cache, type_url, a=1)
    answer = await node.take(type_url)
    assert (answer.names, answer.removed) == ([], ["b"])


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_50_no_name_is_twice_in_a_response(cache, node, type_url):
    star = ["*"] if type_url in WILD else []
    await node.ask(type_url, "a", *star, "b")
    first = await node.receive(type_url)
    for tag in range(3):  # all of it changes while the first response is unanswered
        publish(cache, type_url, a=tag, b=tag)
    await node.ack(first)
    tags = {}
    while set(tags.values()) != {2}:
        answer = await node.take(type_url)
        assert len(answer.names) == len({*answer.names, *answer.removed}) - len(answer.removed)
        tags.update({name: tag_of(type_url, answer.messages[name]) for name in answer.names})
    await node.silent()


def tag_of(type_url, message):
    return next(tag for tag in range(3) if make(type_url, _name(message), tag) == message)


def _name(message):
    return getattr(message, "cluster_name", "") or message.name


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_51_the_same_content_has_the_same_version_on_every_server(
    cache, node, type_url, wire
):
    publish(cache, type_url, a=0, b=0)
    one = await node.first(type_url, *asked(type_url, "a", "b"))
    replica = SnapshotCache()
    for tag in (7, 0):  # another history, another order
        publish(replica, type_url, b=0, a=tag)
    async with await serve(replica, "127.0.0.1:0") as server, Node(server, wire) as elsewhere:
        other = await elsewhere.first(type_url, *asked(type_url, "a", "b"))
    assert (one.version, one.versions) == (other.version, other.versions)
    publish(cache, type_url, a=1, b=0)
    assert (await node.take(type_url)).version != one.version


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_52_what_did_not_change_is_not_sent(cache, server, node, type_url):
    publish(cache, type_url, a=0)
    await node.first(type_url, *asked(type_url, "a"))
    await node.arrived()
    sent = server.traffic.responses
    publish(cache, type_url, a=0)
    other = RTDS if type_url != RTDS else RDS
    cache.publish("fleet", [make(type_url, "a"), make(other, "b")])
    await node.silent()
    cache.publish("fleet", [make(type_url, "a", 1), make(other, "b")])
    assert (await node.take(type_url)).names == ["a"]
    await node.silent()
    assert server.traffic.responses <= sent + 1  # counted when written, maybe after it is read


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", WILD)
async def test_rule_53_a_reconnect_is_told_what_changed_and_what_went(
    cache, server, wire, type_url
):
    publish(cache, type_url, same=0, new=0, old=0)
    async with Node(server, wire) as node:
        held = (await node.first(type_url)).versions
    publish(cache, type_url, same=0, new=1)
    async with Node(server, wire) as node:
        await node.ask(type_url, initial=held)
        for other in (LDS, RDS):  # what could still refer to a cluster that went
            if wire.ads and other != type_url:
                await node.ask(other)
        got, gone = {}, []
        while not (got and gone):
            answer = await (node.any() if wire.ads else node.receive(type_url))
            await node.ack(answer)
            got |= answer.messages
            gone += answer.removed
        assert (got, gone) == ({"new": make(type_url, "new", 1)}, ["old"])


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_53_an_unchanged_reconnect_is_sent_no_resource(cache, server, wire, type_url):
    publish(cache, type_url, a=0)
    async with Node(server, wire) as node:
        held = (await node.first(type_url, *asked(type_url, "a"))).versions
    async with Node(server, wire) as node:
        await node.ask(type_url, *asked(type_url, "a"), initial=held)
        if type_url in WILD:
            answer = await node.take(type_url)
            assert (answer.names, answer.removed) == ([], [])
        await node.silent()


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_54_a_version_never_issued_is_replaced(cache, node, type_url):
    publish(cache, type_url, a=0)
    await node.ask(type_url, *asked(type_url, "a"), initial={"a": "whose?"})
    assert (await node.take(type_url)).names == ["a"]


@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_55_names_are_matched_in_full(cache, node, type_url):
    """Optional; built: xdstp names, whose context parameters have no order."""
    kind = type_url.partition("/")[2]
    plain = f"xdstp://authority/{kind}/a"
    named = f"{plain}?x=1&y=2"
    cache.publish("fleet", [make(type_url, one, tag) for tag, one in enumerate((plain, named))])
    await node.ask(type_url, f"{plain}?y=2&x=1", "a", "/a")
    answer = await node.take(type_url)
    assert [name for name in answer.names if name.startswith("xdstp")] == [named]
    assert answer.messages[named] == make(type_url, named, 1)
    assert "xdstp" not in "".join(answer.removed)


@pytest.mark.parametrize("wire", DELTA, ids=str)
async def test_rule_55_an_xdstp_collection_is_a_name_that_does_not_exist(cache, node):
    kind = RDS.partition("/")[2]
    cache.publish("fleet", [make(RDS, f"xdstp://authority/{kind}/all/a")])
    everything = f"xdstp://authority/{kind}/all/*"
    assert (await node.first(RDS, everything)).removed == [everything]


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_56_no_resource_has_a_time_to_live_and_there_is_no_heartbeat(
    cache, node, type_url
):
    """Optional; not built: what was sent holds until it is replaced or removed."""
    node_message = (await node.stream(type_url))._node
    node_message.client_features.extend(
        ["xds.config.supports-resource-ttl", "xds.config.resource-in-sotw"]
    )
    publish(cache, type_url, a=0)
    answer = await node.first(type_url, *asked(type_url, "a"))
    for entry in answer.raw.resources:
        if node.wire.delta:
            assert not entry.HasField("ttl")
        else:
            assert entry.type_url == type_url  # itself, not wrapped in a Resource
    await node.silent(0.5)


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_57_every_response_names_the_control_plane(cache, node, type_url):
    for tag in range(2):
        publish(cache, type_url, a=tag)
        if tag == 0:
            await node.ask(type_url, "a")
        assert (await node.take(type_url)).raw.control_plane.identifier == "tidegate"


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_58_every_response_has_a_version_for_whoever_debugs(cache, node, type_url):
    versions = set()
    for tag in range(2):
        publish(cache, type_url, a=tag)
        if tag == 0:
            await node.ask(type_url, "a")
        versions.add((await node.take(type_url)).version)
    assert "" not in versions
    assert len(versions) == 2


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", [CDS, EDS])
async def test_rule_59_delta_comes_in_responses_that_every_client_takes(cache, node, type_url):
    """Optional; built: a response is closed at 1 MiB where the protocol allows it."""
    names = [f"n{index}" for index in range(90)]
    cache.publish("fleet", [large(type_url, name) for name in names])
    await node.ask(type_url, *asked(type_url, *names))
    got = []
    while len(got) < len(names):
        answer = await node.take(type_url)
        assert answer.raw.ByteSize() < MESSAGE_LIMIT
        got += answer.names
    assert sorted(got) == sorted(names)


@pytest.mark.parametrize("wire", SOTW, ids=str)
async def test_rule_59_a_full_set_is_never_split(cache, node):
    names = [f"n{index}" for index in range(90)]
    cache.publish("fleet", [large(CDS, name) for name in names])
    answer = await node.first(CDS)
    assert answer.raw.ByteSize() > MESSAGE_LIMIT
    assert sorted(answer.names) == sorted(names)
