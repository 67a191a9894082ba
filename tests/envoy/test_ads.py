"""The server and its core against a real Envoy, delta and state of the world."""

import asyncio
import time
from copy import copy

from tests.harness import resources
from tests.harness.bootstrap import ads_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import fetch
from tests.harness.load import Load
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until
from xds.cache import CLUSTER, ENDPOINT, LISTENER, Key, SnapshotCache
from xds.server import serve

SLOW = {"timeout": "8s", "interval": "10s", "no_traffic_interval": "10s"}


async def serving(port: int, name: str, *, within: float = 5.0) -> None:
    async def answers() -> bool:
        return (await fetch(f"127.0.0.1:{port}")).text == name

    await until(answers, within=within, what=f"{name} is served on port {port}")


async def confirmed(cache, *keys: Key, within: float = 5.0) -> float:
    """Waits until the node holds `keys` as published; returns the seconds it took."""
    began = time.monotonic()
    (stream,) = cache.streams("fleet")
    revision = cache.snapshot("fleet").revision

    async def holds() -> bool:
        return all(stream.confirmed(key, revision) for key in keys)

    words = [stream.waiting(key, time.monotonic()) for key in keys]
    await until(holds, within=within, what=f"{keys} confirmed; at first: {words}", every=0.002)
    return time.monotonic() - began


async def test_what_is_published_is_served(plane):
    port = free_port()
    async with await Member.start("a") as a, plane() as p:
        p.cache.publish("fleet", resources.vip("web", port, [a.address]))
        await serving(port, "a")
        await confirmed(p.cache, Key(CLUSTER, "web"), Key(LISTENER, "web"))
        p.cache.publish("fleet", [])

        async def gone() -> bool:
            return not await p.envoy.listeners() and "web" not in await p.envoy.clusters()

        await until(gone, within=5, what="listener and cluster are gone")
        assert not p.heard.rejections


async def test_a_start_with_everything_published_serves(plane):
    port = free_port()
    async with (
        await Member.start("a") as a,
        plane(resources.vip("web", port, [a.address], monitor={})) as p,
    ):
        await serving(port, "a")
        await confirmed(p.cache, Key(CLUSTER, "web"), Key(LISTENER, "web"))
        # CDS, EDS (empty, real), LDS, RDS: once each, the endpoints twice at most.
        assert p.server.traffic.resources <= 7


async def test_a_changed_cluster_is_confirmed_at_once_and_drops_nothing(plane):
    port = free_port()
    async with await Member.start("a") as a, plane() as p:
        tree = resources.vip("web", port, [a.address], monitor={})
        p.cache.publish("fleet", tree)
        await serving(port, "a")
        async with Load(f"127.0.0.1:{port}") as load:
            await load.more(50)
            for timeout in (2, 3, 4):
                changed = resources.cluster("web", connect_timeout=timeout, monitor={})
                p.cache.publish("fleet", [changed, *tree[1:]])
                assert await confirmed(p.cache, Key(CLUSTER, "web")) < 2
                assert await p.envoy.stat("cluster_manager.warming_clusters") == 0
            await load.more(50)
        assert load.failures == {}


async def test_a_listener_that_cannot_bind_is_rejected_and_the_other_serves(plane):
    port = free_port()
    async with await Member.start("a") as a, plane() as p:
        bad = [
            resources.http_listener("bad", port, address="203.0.113.9"),
            resources.route("bad", "web"),
        ]
        good = resources.vip("web", port, [a.address])
        p.cache.publish("fleet", [*good, *bad])
        await serving(port, "a")

        async def heard() -> bool:
            return bool(p.heard.rejections)

        await until(heard, within=5, what="the rejection is heard")
        await confirmed(p.cache, Key(LISTENER, "web"))
        (rejection,) = p.heard.rejections
        assert rejection.key == Key(LISTENER, "bad")
        assert f"cannot bind '203.0.113.9:{port}'" in rejection.message
        (stream,) = p.cache.streams("fleet")
        assert not stream.confirmed(Key(LISTENER, "bad"), p.cache.snapshot("fleet").revision)
        rejected = await p.envoy.stat("listener_manager.lds.update_rejected")
        other = free_port()
        p.cache.publish("fleet", [*good, *bad, *resources.vip("two", other, [a.address])])
        await serving(other, "a")
        assert await p.envoy.stat("listener_manager.lds.update_rejected") == rejected


async def test_a_server_that_restarts_sends_nothing_again(plane, delta):
    port = free_port()
    async with await Member.start("a") as a, plane() as p:
        tree = resources.vip("web", port, [a.address])
        p.cache.publish("fleet", tree)
        await serving(port, "a")
        await confirmed(p.cache, Key(LISTENER, "web"))
        xds_port = p.server.port
        async with Load(f"127.0.0.1:{port}") as load:
            await load.more(50)
            await p.server.stop()
            fresh = type(p.cache)()
            fresh.publish("fleet", tree)
            p.server = await serve(fresh, f"127.0.0.1:{xds_port}")

            async def back() -> bool:
                streams = fresh.streams("fleet")
                key = Key(LISTENER, "web")
                revision = fresh.snapshot("fleet").revision
                return bool(streams) and streams[0].confirmed(key, revision)

            await until(back, within=10, what="Envoy is back and holds everything")
            await load.more(50)
        if delta:  # state of the world says no versions of single names
            assert p.server.traffic.resources == 0
        assert load.failures == {}
        updates = await p.envoy.stats("listener_manager.listener_(modified|in_place_updated)")
        assert set(updates.values()) == {0}


async def mute_holds_back_nobody(p, before, slow, member) -> None:
    p.cache.publish("fleet", [*before, *slow])
    await asyncio.sleep(0)
    port = free_port()
    p.cache.publish("fleet", [*before, *slow, *resources.vip("next", port, [member.address])])
    began = time.monotonic()
    await confirmed(p.cache, Key(CLUSTER, "next"), Key(LISTENER, "next"), within=3)
    await serving(port, member.name, within=1)
    assert time.monotonic() - began < 1
    await confirmed(p.cache, Key(CLUSTER, "slow"), within=1)


async def test_a_mute_member_in_a_new_cluster_holds_back_nobody(plane):
    async with (
        await Member.start("a") as a,
        await Member.start("m", mode=Mode.MUTE) as mute,
        plane() as p,
    ):
        slow = [
            resources.cluster("slow", monitor=SLOW),
            resources.endpoints("slow", [mute.address]),
        ]
        await mute_holds_back_nobody(p, [], slow, a)


async def test_a_mute_member_of_an_unused_cluster_that_gets_a_check_holds_back_nobody(plane):
    async with (
        await Member.start("a") as a,
        await Member.start("m", mode=Mode.MUTE) as mute,
        plane() as p,
    ):
        bare = [resources.cluster("slow"), resources.endpoints("slow", [mute.address])]
        p.cache.publish("fleet", bare)
        await confirmed(p.cache, Key(CLUSTER, "slow"))
        slow = [resources.cluster("slow", monitor=SLOW), bare[1]]
        await mute_holds_back_nobody(p, [], slow, a)


async def test_members_move_without_a_failure(plane):
    port = free_port()
    async with await Member.start("a") as a, await Member.start("b") as b, plane() as p:
        tree = resources.vip("web", port, [a.address], monitor={})
        p.cache.publish("fleet", tree)
        await serving(port, "a")
        async with Load(f"127.0.0.1:{port}") as load:
            await load.more(20)
            tree[1] = resources.endpoints("web", [a.address, b.address])
            p.cache.publish("fleet", tree)

            async def both() -> bool:
                return load.served["b"] > 0

            await until(both, within=5, what="b is served")
            tree[1] = resources.endpoints("web", [b.address])
            p.cache.publish("fleet", tree)
            await load.more(50)
        assert load.failures == {}


async def test_a_listener_replaces_another_on_its_port(plane):
    port = free_port()
    async with await Member.start("a") as a, plane() as p:
        old = resources.vip("old", port, [a.address])
        p.cache.publish("fleet", old)
        await serving(port, "a")
        p.cache.publish(
            "fleet", [*old[:2], resources.http_listener("new", port), resources.route("new", "old")]
        )
        await confirmed(p.cache, Key(LISTENER, "new"))
        assert list(await p.envoy.listeners()) == ["new"]
        assert not p.heard.rejections


async def test_many_trees_are_served_and_one_member_more_sends_one_resource(plane):
    count = 200
    async with await Member.start("a") as a, await Member.start("b") as b, plane() as p:
        ports = [free_port() for _ in range(count)]
        tree = []
        for index, port in enumerate(ports):
            tree += resources.vip(f"web-{index:03}", port, [a.address])
        p.cache.publish("fleet", tree)
        keys = [Key(LISTENER, f"web-{index:03}") for index in range(count)]
        await confirmed(p.cache, *keys, within=20)
        await serving(ports[-1], "a")
        before = copy(p.server.traffic)
        tree[1] = resources.endpoints("web-000", [a.address, b.address])
        p.cache.publish("fleet", tree)
        await confirmed(p.cache, Key(ENDPOINT, "web-000"))
        assert p.server.traffic.resources - before.resources == 1
        assert p.server.traffic.sent_bytes - before.sent_bytes < 500
        assert not p.heard.rejections


async def test_envoys_pings_do_not_end_the_stream():
    # With grpcio's defaults the server hangs up at the third ping.
    cache = SnapshotCache()
    cache.publish("fleet", [])
    async with (
        await serve(cache, "127.0.0.1:0") as server,
        EnvoyProcess(ads_bootstrap(server.port, keepalive="0.3s")) as envoy,
    ):
        await envoy.wait_ready(within=5)
        (stream,) = cache.streams("fleet")
        received = "cluster.xds.upstream_cx_rx_bytes_total"
        before = await envoy.stat(received)

        async def pinged() -> bool:
            return await envoy.stat(received) >= before + 6 * 17  # a PING's answer has 17 bytes

        await until(pinged, within=10, what="six pings are answered")
        assert cache.streams("fleet") == (stream,)
        assert await envoy.stat("cluster.xds.upstream_cx_total") == 1
