"""Session persistence through the whole product: two Envoys, a hundred clients, five members."""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict

from lbaas.v1 import member_pb2, member_service_pb2, vip_service_pb2
from tests.features.world import Client, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import Connection
from tests.harness.load import Load
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tests.harness.session_app import Browser, SessionApp, address_leaks
from tests.harness.waiting import until

POOL = "projects/acme/pools/web"
APP_COOKIE = {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}
CLIENTS = 100


@contextlib.asynccontextmanager
async def applications(count: int) -> AsyncIterator[list[SessionApp]]:
    """Applications with sessions of their own, in a cookie called JSESSIONID."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                await SessionApp(f"m{number}", cookie="JSESSIONID").open()
            )
            for number in range(count)
        ]


async def pool_of(client: Client, members: Sequence[Member]) -> None:
    """A pool with these members, checked every 0.3 s, each to drain for a minute."""
    await client.project("acme")
    check = await client.monitor("acme", "check")
    await client.pool("acme", "web", health_monitors=[check.name])
    for member in members:
        await join(client, member)


async def join(client: Client, member: Member) -> None:
    """Takes a member into the pool."""
    made = await client.member(POOL, member.name, member.address, drain_timeout="60s")
    await client.applied(made.name)


async def change(client: Client, member: Member, **fields: Any) -> None:
    """Changes a member, and waits until every Envoy has it."""
    wanted = member_pb2.Member(name=f"{POOL}/members/{member.name}", **fields)
    changed = await client.members.UpdateMember(
        member_service_pb2.UpdateMemberRequest(
            member=wanted, update_mask=FieldMask(paths=list(fields))
        )
    )
    await client.applied(changed.name, revision=changed.revision)


async def persist(client: Client, vip: str, persistence: dict[str, str]) -> None:
    """Changes a VIP's persistence, and waits until every Envoy has it."""
    request = {
        "vip": {"name": vip, **({"session_persistence": persistence} if persistence else {})},
        "update_mask": "sessionPersistence",
    }
    changed = await client.vips.UpdateVip(ParseDict(request, vip_service_pb2.UpdateVipRequest()))
    await client.applied(vip, revision=changed.revision)


async def serving(envoys: Sequence[EnvoyProcess], members: Sequence[Member]) -> None:
    """Waits until these members, and no others, have passed the checks of every Envoy."""
    wanted = {member.address for member in members}

    async def so() -> bool:
        for envoy in envoys:
            known = await envoy.members(POOL)
            passing = {
                address
                for address, health in known.items()
                if not any(
                    why in health for why in ("failed_active_health_check", "pending_active_hc")
                )
            }
            if passing != wanted:
                return False
        return True

    await until(so, within=10, what=f"{len(wanted)} members serve on {len(envoys)} Envoys")


async def killed(envoys: Sequence[EnvoyProcess], member: Member) -> None:
    """Kills a member with nothing in flight: every Envoy has seen its idle connections end.

    A request that meets the end of its connection may have been carried out, so it is a 503 and
    never repeated.
    """
    await member.become(Mode.CLOSED)

    async def noticed() -> bool:
        return not any([await connections(envoy, member) for envoy in envoys])

    await until(noticed, within=5, what="no connection to the member is left")


async def connections(envoy: EnvoyProcess, member: Member) -> int:
    """How many connections an Envoy has to a member."""
    for cluster in (await envoy.admin_json("/clusters?format=json"))["cluster_statuses"]:
        for host in cluster.get("host_statuses", ()) if cluster["name"] == POOL else ():
            if host["address"]["socket_address"]["port_value"] == member.port:
                active = [each for each in host["stats"] if each["name"] == "cx_active"]
                return int(active[0].get("value", 0))
    return 0


@contextlib.asynccontextmanager
async def ways_in(address: str, envoys: Sequence[EnvoyProcess]) -> AsyncIterator[list[Connection]]:
    """A connection through each Envoy.

    They share the address (SO_REUSEPORT) and the kernel chooses: whom it chose, Envoy counts.
    """
    found: dict[int, Connection] = {}

    async def counted() -> list[int]:
        return [
            sum((await envoy.stats(r"^listener\..*vips.*downstream_cx_total$")).values())
            for envoy in envoys
        ]

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(200):
            before = await counted()
            connection = await stack.enter_async_context(await Connection.open(address))

            async def taken(before: list[int] = before) -> list[int]:
                now = await counted()
                return [
                    n for n, (was, new) in enumerate(zip(before, now, strict=True)) if new > was
                ]

            (number,) = await until(taken, within=5, what="an Envoy took the connection")
            found.setdefault(number, connection)
            if len(found) == len(envoys):
                break
        yield [found[number] for number in range(len(envoys))]


async def all_through(way: Connection, browsers: Sequence[Browser]) -> list[str]:
    """Who answers each client through one Envoy; every answer is 200."""
    replies = [await browser.get_over(way) for browser in browsers]
    assert {reply.status for reply in replies} == {200}
    return [reply.text for reply in replies]


def moved(before: Sequence[str], after: Sequence[str]) -> set[str]:
    """Whose clients are elsewhere now."""
    return {was for was, now in zip(before, after, strict=True) if was != now}


@pytest.mark.parametrize(
    "persistence", [{"type": "HTTP_COOKIE"}, APP_COOKIE], ids=lambda p: p["type"]
)
async def test_a_hundred_clients_are_kept_whatever_happens_to_members(tmp_path, persistence):
    async with world(tmp_path, nodes=2) as (_, client, envoys), applications(6) as apps:
        *five, sixth = apps
        await pool_of(client, five)
        port = free_port()
        vip = await client.vip(
            "acme", "front", pool=POOL, port=port, session_persistence=persistence
        )
        await client.applied(vip.name)
        await serving(envoys, five)
        clients = [Browser() for _ in range(CLIENTS)]
        strangers: list[Browser] = []
        async with ways_in(f"127.0.0.1:{port}", envoys) as (one, other):
            first = await all_through(one, clients)
            assert set(first) == {app.name for app in five}

            async def kept() -> None:
                assert await all_through(one, clients) == first
                assert await all_through(other, clients) == first

            async def met(way: Connection) -> list[str]:
                strangers.extend(Browser() for _ in range(30))
                return await all_through(way, strangers[-30:])

            await kept()
            await kept()

            await join(client, sixth)
            await serving(envoys, apps)
            await kept()
            assert sixth.name in await met(other)

            for leaving, back in (
                ({"admin_state_up": False}, {"admin_state_up": True}),
                ({"weight": 0}, {"weight": 1}),
            ):
                await change(client, five[1], **leaving)
                await kept()
                for way in (one, other):
                    assert five[1].name not in await met(way)
                await change(client, five[1], **back)
                await kept()
                assert five[1].name in await met(one)
            for app in apps:
                # Its own values, and none that it did not set.
                assert all(value.startswith(f"{app.name}.") for value in app.sessions)

            # Not in the way of a check yet, or in it: no request fails.
            await killed(envoys, five[2])
            later = await all_through(one, clients)
            assert moved(first, later) == {five[2].name}
            assert await all_through(other, clients) == later
            await serving(envoys, [app for app in apps if app is not five[2]])
            assert await all_through(one, clients) == later
            await five[2].become(Mode.HEALTHY)
            await serving(envoys, apps)
            assert await all_through(other, clients) == later

            received = b"".join(bytes(browser.received) for browser in (*clients, *strangers))
            assert not [leak for app in apps for leak in address_leaks(received, app)]
            assert b"x-lb-" not in received


async def asked_from(sources: Sequence[str], port: int, **headers: str) -> list[str]:
    """Who answers each source address, each on a connection of its own."""

    async def ask(source: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        async with Connection(reader, writer) as connection:
            reply = await connection.request("/", headers=headers, close=True)
        assert reply.status == 200
        return reply.text

    answers = []
    for start in range(0, len(sources), 50):
        answers += await asyncio.gather(*(ask(source) for source in sources[start : start + 50]))
    return answers


async def test_a_source_address_leads_to_the_same_member_on_every_envoy(tmp_path):
    first_source = int(ipaddress.ip_address("127.1.0.1"))
    sources = [str(ipaddress.ip_address(first_source + 7 * n)) for n in range(500)]
    async with world(tmp_path, nodes=2) as (_, client, envoys), applications(10) as apps:
        await pool_of(client, apps)
        kept, plain = free_port(), free_port()
        for name, port, fields in (
            ("kept", kept, {"session_persistence": {"type": "SOURCE_IP"}}),
            ("plain", plain, {}),
        ):
            made = await client.vip("acme", name, pool=POOL, port=port, **fields)
            await client.applied(made.name)

        async def alone(envoy: EnvoyProcess) -> None:
            """Only this Envoy serves: they share the addresses, and a client cannot choose."""
            for each in envoys:
                if each is not envoy and each.running:
                    await each.stop()
            if not envoy.running:
                await envoy.start()
                await envoy.wait_ready()

                async def listens() -> bool:
                    return len(await envoy.listeners()) == 2

                await until(listens, within=10, what="both VIPs listen")
            await serving([envoy], apps)

        await alone(envoys[0])
        before = await asked_from(sources, kept)
        assert set(before) == {app.name for app in apps}
        for number in range(20):
            forged = {"x-forwarded-for": f"203.0.113.{number}"}
            assert await asked_from(sources[:3], kept, **forged) == before[:3]
        # A VIP of the same pool without persistence takes turns.
        async with await Connection.open(f"127.0.0.1:{plain}") as connection:
            turns = [(await connection.request("/")).text for _ in range(30)]
        assert {name: turns.count(name) for name in turns} == dict.fromkeys(
            (app.name for app in apps), 3
        )

        await alone(envoys[1])
        assert await asked_from(sources, kept) == before

        gone = apps[4]
        await client.members.DeleteMember(
            member_service_pb2.DeleteMemberRequest(name=f"{POOL}/members/{gone.name}")
        )

        async def drained() -> bool:
            health = (await envoys[1].members(POOL)).get(gone.address, {})
            return health.get("eds_health_status", "DRAINING") == "DRAINING"

        await until(drained, within=5, what="the deleted member drains")
        after = await asked_from(sources, kept)
        assert gone.name not in after
        others = [(was, now) for was, now in zip(before, after, strict=True) if was != gone.name]
        assert sum(was != now for was, now in others) <= 0.02 * len(others)


async def test_switching_persistence_cuts_no_connection_and_fails_no_request(tmp_path):
    async with world(tmp_path, nodes=2) as (_, client, envoys), applications(3) as apps:
        await pool_of(client, apps)
        port = free_port()
        vip = await client.vip("acme", "front", pool=POOL, port=port)
        await client.applied(vip.name)
        await serving(envoys, apps)

        async def connections() -> list[int]:
            found = []
            for envoy in envoys:
                stats = await envoy.stats(r"^listener\..*vips.*downstream_cx_total$")
                found.append(sum(stats.values()))
            return found

        load = Load(f"127.0.0.1:{port}", keep_alive=12, per_request=0, pause=0.002)
        async with load, Load(f"127.0.0.1:{port}", keep_alive=0, per_request=4) as short:
            await load.more(100)
            for persistence in (
                {"type": "HTTP_COOKIE"},
                APP_COOKIE,
                {"type": "SOURCE_IP"},
                {"type": "HTTP_COOKIE", "cookie_name": "other", "ttl": "60s"},
                {},
            ):
                await persist(client, vip.name, persistence)
                await load.more(200)
            await short.stop()
            before = await connections()
            for persistence in (APP_COOKIE, {"type": "HTTP_COOKIE"}, {}):
                await persist(client, vip.name, persistence)
                await load.more(200)
            # Those that were open stayed open: nobody had to connect anew.
            assert await connections() == before
        assert (load.failures, short.failures) == ({}, {})
        for envoy in envoys:
            assert await envoy.stat("listener_manager.listener_modified") == 0
            assert await envoy.stat("listener_manager.listener_in_place_updated") == 0
