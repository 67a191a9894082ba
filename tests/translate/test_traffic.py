"""What the defaults do to traffic, on a real Envoy."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from lbaas.model.enums import LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import Member as ModelMember
from lbaas.model.objects import Record, SessionPersistence
from tests.harness.http_client import Connection, fetch
from tests.harness.members import Echo, Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.translate.node import TranslatedNode
from tests.translate.trees import POOL, member, monitor, pool, tree, vip

SOURCE_IP = SessionPersistence(type=SessionPersistenceType.SOURCE_IP)


@pytest.fixture
async def node() -> AsyncIterator[TranslatedNode]:
    async with TranslatedNode() as node:
        yield node


@contextlib.asynccontextmanager
async def started(count: int) -> AsyncIterator[list[Member]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(await Member.start(f"m{number}"))
            for number in range(count)
        ]


def of(server: Member | Echo, **fields: object) -> ModelMember:
    return ModelMember(
        name=f"{POOL}/members/{server.name}",
        address=server.host,
        port=server.port,
        record=Record(uid=server.name),
        **fields,
    )


def here(name: str = "front", **fields: object):
    return vip(name, address="127.0.0.1", port=free_port(), **fields)


def at(listening) -> str:
    return f"{listening.address}:{listening.port}"


async def spread(address: str, count: int, **headers: str) -> Counter[str]:
    """Who answers requests on one connection; an answer other than 200 counts by its status."""
    seen: Counter[str] = Counter()
    async with await Connection.open(address) as connection:
        for _ in range(count):
            reply = await connection.request("/", headers=headers)
            seen[reply.text if reply.status == 200 else str(reply.status)] += 1
    return seen


async def test_weights_are_shares_and_zero_is_none(node) -> None:
    front = here()
    async with started(3) as (one, two, three):
        members = (of(one, weight=1), of(two, weight=3), of(three, weight=0))
        await node.apply(tree(members=members, vips=(front,)))
        assert await spread(at(front), 80) == {"m0": 20, "m1": 60}


async def test_backups_serve_when_no_primary_is_left_and_never_before(node) -> None:
    front = here()
    check = monitor(delay=timedelta(seconds=0.3), timeout=timedelta(seconds=0.3))
    # 19 of 20 primaries refuse: with a factor of 1000 the last one would leave half to the backup.
    dead = tuple(member(n, address=f"127.0.9.{n + 1}", port=free_port()) for n in range(19))
    async with started(2) as (last, spare):
        members = (*dead, of(last), of(spare, backup=True))
        await node.apply(tree(members=members, health_monitors=(check,), vips=(front,)))
        await until(lambda: _health_known(node, 21), within=5, what="all members were checked")
        assert await spread(at(front), 60) == {"m0": 60}
        await last.become(Mode.CLOSED)
        await until(lambda: _served_by(front, "m1"), within=5, what="the backup serves")
        assert await spread(at(front), 60) == {"m1": 60}


async def test_a_pool_that_is_down_or_empty_answers_503(node) -> None:
    front = here()
    async with started(1) as (one,):
        await node.apply(tree(members=(of(one),), vips=(front,)))
        assert await spread(at(front), 2) == {"m0": 2}
        down = pool(admin_state_up=False)
        await node.apply(tree(pool=down, members=(of(one),), vips=(front,)))
        assert await spread(at(front), 2) == {"503": 2}
        await node.apply(tree(members=(), vips=(front,)))
        assert await spread(at(front), 2) == {"503": 2}
        await node.apply(tree(members=(of(one),), vips=(front,)))
        assert await spread(at(front), 2) == {"m0": 2}


async def test_a_dead_member_without_a_monitor_costs_no_request(node) -> None:
    front = here()
    async with started(3) as members:
        await node.apply(tree(members=tuple(map(of, members)), vips=(front,)))
        await members[1].become(Mode.CLOSED)
        assert await spread(at(front), 60) == {"m0": 30, "m2": 30}


async def test_a_dead_member_without_a_monitor_costs_no_tcp_connection(node) -> None:
    front = here(protocol=Protocol.TCP)
    async with await Echo.start("m0") as one, await Echo.start("m1") as two:
        plain = pool(protocol=Protocol.TCP)
        await node.apply(tree(pool=plain, members=(of(one), of(two)), vips=(front,)))
        await two.become(Mode.CLOSED)
        assert [await _greeting(at(front)) for _ in range(20)] == ["m0"] * 20
        emptied = pool(protocol=Protocol.TCP, admin_state_up=False)
        await node.apply(tree(pool=emptied, members=(of(one), of(two)), vips=(front,)))
        assert await _greeting(at(front)) == ""


async def test_persistence_is_the_vips_own_and_cannot_be_forged(node) -> None:
    kept, plain = here("kept", session_persistence=SOURCE_IP), here("plain")
    async with started(5) as members:
        mine = tuple(map(of, members))
        await node.apply(tree(members=mine, vips=(kept, plain)))
        seen: Counter[str] = Counter()
        for number in range(20):
            forged = {"x-forwarded-for": f"203.0.113.{number}"}
            seen += await spread(at(kept), 1, **forged)
        assert len(seen) == 1
        assert await spread(at(plain), 50) == dict.fromkeys((m.name for m in members), 10)


async def test_persistence_switched_on_later_is_served_within_a_second(node) -> None:
    """The second cluster finds its endpoints, which Envoy has subscribed to long before."""
    front = here()
    async with started(3) as members:
        mine = tuple(map(of, members))
        await node.apply(tree(members=mine, vips=(front,)))
        kept = here("kept", session_persistence=SOURCE_IP)
        # Left alone Envoy waits 15 s for endpoints that it does not ask for again.
        await node.apply(tree(members=mine, vips=(front, kept)), within=3)
        assert len(await spread(at(kept), 10)) == 1
        await node.apply(tree(members=mine, vips=(front,)), within=3)
        assert len(await spread(at(front), 9)) == 3


async def test_a_pool_that_hashes_keeps_a_tcp_client(node) -> None:
    front = here(protocol=Protocol.TCP)
    hashing = pool(protocol=Protocol.TCP, lb_method=LbMethod.SOURCE_IP)
    async with contextlib.AsyncExitStack() as stack:
        echoes = [
            await stack.enter_async_context(await Echo.start(f"m{number}")) for number in range(5)
        ]
        await node.apply(tree(pool=hashing, members=tuple(map(of, echoes)), vips=(front,)))
        assert len({await _greeting(at(front)) for _ in range(20)}) == 1


async def test_an_unexpected_status_counts_as_one_failure_of_max_retries(node) -> None:
    front = here()
    check = monitor(
        delay=timedelta(seconds=0.2), timeout=timedelta(seconds=0.2), max_retries=3, rise=2
    )
    async with started(1) as (one,):
        await node.apply(tree(members=(of(one),), health_monitors=(check,), vips=(front,)))
        await until(lambda: _serves(front), within=5, what="the member is up")
        one.check_status, before = 500, one.checks

        async def failed() -> bool:
            return (await node.envoy.members(POOL))[one.address].get("failed_active_health_check")

        await until(failed, within=5, what="the member is down", every=0.01)
        assert one.checks - before == 3
        assert await spread(at(front), 1) == {"503": 1}


async def test_http_1_0_is_served(node) -> None:
    front = here()
    async with started(1) as (one,):
        await node.apply(tree(members=(of(one),), vips=(front,)))
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.0 200")
        assert answer.endswith(b"m0")


async def test_a_websocket_passes_and_stays_open_both_ways(node) -> None:
    front = here()

    async def member_side(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        switched = b"HTTP/1.1 101 Switching Protocols\r\n"
        writer.write(switched + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while frame := await reader.read(100):
            writer.write(b"echo " + frame)
        writer.close()

    server = await asyncio.start_server(member_side, "127.0.0.1", 0)
    mine = member(1, address="127.0.0.1", port=server.sockets[0].getsockname()[1])
    await node.apply(tree(members=(mine,), vips=(front,)))
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    upgrade = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    writer.write(upgrade)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    for frame in (b"one", b"two"):
        writer.write(frame)
        assert await reader.readexactly(8) == b"echo " + frame
    writer.close()
    await writer.wait_closed()
    server.close()


async def test_nothing_of_envoys_own_reaches_the_client(node) -> None:
    front = here()
    async with started(1) as (one,):
        await node.apply(tree(members=(of(one),), vips=(front,)))
        reply = await fetch(at(front))
        assert not {name for name in reply.headers if name.startswith("x-")}
        assert "server" not in reply.headers  # the member sends none


async def _health_known(node: TranslatedNode, count: int) -> bool:
    members = (await node.envoy.members(POOL)).values()
    return len(members) == count and not any("pending_active_hc" in each for each in members)


async def _served_by(front, name: str) -> bool:
    return (await fetch(at(front))).text == name


async def _serves(front) -> bool:
    return (await fetch(at(front))).status == 200


async def _greeting(address: str) -> str:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(5):
            return (await reader.readline()).decode().strip()
    except ConnectionResetError:
        return ""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
