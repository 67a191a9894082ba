"""HTTP_COOKIE on a real Envoy: what clients and members see, and where requests go."""

import asyncio
import base64
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from lbaas.model.enums import LbMethod, SessionPersistenceType
from lbaas.model.objects import SessionPersistence
from tests.harness.http_client import Connection
from tests.harness.load import Load
from tests.harness.members import Mode
from tests.harness.ports import free_port
from tests.harness.session_app import Browser, SessionApp, address_leaks
from tests.translate.node import TranslatedNode
from tests.translate.test_traffic import at, here, of
from tests.translate.trees import member, pool, tree, vip
from xds.translate.endpoints import cookie_id

HTTP_COOKIE = SessionPersistence(type=SessionPersistenceType.HTTP_COOKIE)
APP_COOKIE = SessionPersistence(type=SessionPersistenceType.APP_COOKIE, cookie_name="JSESSIONID")
SOURCE_IP = SessionPersistence(type=SessionPersistenceType.SOURCE_IP)


@pytest.fixture
async def node() -> AsyncIterator[TranslatedNode]:
    async with TranslatedNode() as node:
        yield node


@pytest.fixture
async def apps() -> AsyncIterator[list[SessionApp]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(await SessionApp(f"m{number}").open())
            for number in range(5)
        ]


async def answered(browsers: list[Browser], address: str) -> list[str]:
    """Who answers each; every answer is 200."""
    replies = [await browser.get(address) for browser in browsers]
    assert {reply.status for reply in replies} == {200}
    return [reply.text for reply in replies]


async def test_a_client_is_kept_and_told_once(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    await node.apply(tree(members=tuple(map(of, apps)), vips=(front,)))
    browsers = [Browser() for _ in range(20)]
    first = await answered(browsers, at(front))
    assert Counter(first) == dict.fromkeys((app.name for app in apps), 4)
    told = [bytes(browser.received) for browser in browsers]
    for _ in range(3):
        assert await answered(browsers, at(front)) == first
    for browser, once in zip(browsers, told, strict=True):
        assert b"set-cookie" in once
        assert b"set-cookie" not in browser.received[len(once) :]
        assert not [leak for app in apps for leak in address_leaks(browser.received, app)]
        assert b"x-lb-" not in browser.received


async def test_the_cookie_is_the_vips_own(node, apps) -> None:
    named = dataclasses.replace(HTTP_COOKIE, cookie_name="shop.$", ttl=timedelta(hours=1))
    front, side = here(session_persistence=HTTP_COOKIE), here("side", session_persistence=named)
    await node.apply(tree(members=tuple(map(of, apps)), vips=(front, side)))
    (cookie,) = (await Browser().get(at(front))).set_cookies
    name, _, rest = cookie.partition("=")
    assert (name, rest[16:]) == ("LBSESSION", "; Path=/; HttpOnly; SameSite=Lax")
    (cookie,) = (await Browser().get(at(side))).set_cookies
    name, _, rest = cookie.partition("=")
    assert (name, rest[16:]) == ("shop.$", "; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax")
    # Two VIPs of one pool know the same members by the same ids.
    served = (await Browser({"shop.$": rest[:16]}).get(at(side))).text
    assert (await Browser({"LBSESSION": rest[:16]}).get(at(front))).text == served


async def test_the_cookie_is_found_wherever_it_stands(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    await node.apply(tree(members=tuple(map(of, apps)), vips=(front,)))
    browser = Browser()
    served = (await browser.get(at(front))).text
    key = browser.cookies["LBSESSION"]
    for cookie in (
        f"LBSESSION={key}; a=b",
        f"a=b; LBSESSION={key}; c=d",
        f"a=b;LBSESSION={key}",
        f'XLBSESSION=0; LBSESSION="{key}"',
    ):
        for _ in range(3):
            reply = await Browser().get(at(front), cookie=cookie)
            assert (reply.text, reply.set_cookies) == (served, [])


async def test_what_is_no_id_is_balanced_and_replaced(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    await node.apply(tree(members=tuple(map(of, apps)), vips=(front,)))
    address = "MTI3LjAuMC4xOjQ0Mzg5"  # base64 of 127.0.0.1:44389
    for cookie in (
        "LBSESSION=",
        "LBSESSION",
        "LBSESSION=garbage",
        "LBSESSION=0123456789abcdef",
        "LBSESSION=" + "x" * 8000,
        f"LBSESSION={address}",
        'LBSESSION="',
        "LBSESSION=%CEL(request.headers)%",
        "LBSESSION='] || true",
        "LBSESSION=\xff\xfe",
        "=; ;;=LBSESSION=;",
        "lbsession=0123456789abcdef",
    ):
        replies = [await Browser().get(at(front), cookie=cookie) for _ in range(5)]
        assert {reply.status for reply in replies} == {200}, cookie
        assert len({reply.text for reply in replies}) == 5, cookie
        assert all(len(reply.set_cookies) == 1 for reply in replies), cookie

    # Too long for Envoy's metadata (8 KiB, Envoy 1.40.0): balanced, and nothing is set.
    assert (await Browser().get(at(front), cookie="LBSESSION=" + "x" * 9000)).status == 200


async def test_headers_of_our_own_steer_nothing_and_are_seen_by_nobody(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    await node.apply(tree(members=tuple(map(of, apps)), vips=(front,)))
    for app in apps:
        app.headers = ["x-lb-host: from-the-member", "x-lb-member: from-the-member"]
    browser = Browser()
    await browser.get(at(front))
    target = (await browser.get(at(front))).text
    (there,) = [app for app in apps if app.name == target]
    steering = {"x-lb-host": base64.b64encode(there.address.encode()).decode()}
    stray = [(await Browser().get(at(front), **steering)).text for _ in range(10)]
    assert len(set(stray)) == 5
    kept = await browser.get(at(front), **steering, **{"x-lb-member": "forged"})
    assert kept.text == target
    assert b"x-lb-" not in browser.received
    for app in apps:
        assert "x-lb-" not in "".join(app.heads)


async def test_who_is_gone_is_replaced_without_an_error(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    members = tuple(map(of, apps))
    await node.apply(tree(members=members, vips=(front,)))
    browsers = [Browser() for _ in range(20)]
    first = await answered(browsers, at(front))
    held = [dict(browser.cookies) for browser in browsers]

    def moved(now: list[str]) -> set[str]:
        return {was for was, is_now in zip(first, now, strict=True) if was != is_now}

    # Dead and not noticed yet: asked once, then another member answers.
    await apps[1].become(Mode.CLOSED)
    now = await answered(browsers, at(front))
    assert moved(now) == {"m1"}
    assert "m1" not in now
    assert await answered(browsers, at(front)) == now
    await apps[1].become(Mode.HEALTHY)
    # Removed.
    await node.apply(tree(members=members[:2] + members[3:], vips=(front,)))
    later = await answered(browsers, at(front))
    assert {was for was, is_now in zip(now, later, strict=True) if was != is_now} == {"m2"}
    assert await answered(browsers, at(front)) == later
    # Back: whoever still holds its cookie returns to it.
    await node.apply(tree(members=members, vips=(front,)))
    assert await answered(browsers, at(front)) == later
    old = [Browser(cookies) for cookies in held]
    assert await answered(old, at(front)) == first


@pytest.mark.parametrize(
    "leaving",
    [
        {"weight": 0},
        {"admin_state_up": False, "drain_timeout": timedelta(minutes=5)},
    ],
    ids=["weight 0", "switched off"],
)
async def test_who_drains_keeps_its_clients_and_gets_no_more(node, apps, leaving) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    members = tuple(map(of, apps))
    await node.apply(tree(members=members, vips=(front,)))
    browsers = [Browser() for _ in range(20)]
    first = await answered(browsers, at(front))
    draining = (dataclasses.replace(members[0], **leaving), *members[1:])
    await node.apply(tree(members=draining, vips=(front,)))
    assert await answered(browsers, at(front)) == first
    assert "m0" not in await answered([Browser() for _ in range(20)], at(front))
    # Out of reach while it drains: its clients move.
    lost = frozenset({members[0].name})
    await node.apply(tree(members=draining, vips=(front,), unreachable=lost))
    now = await answered(browsers, at(front))
    assert {was for was, is_now in zip(first, now, strict=True) if was != is_now} == {"m0"}


async def test_an_ipv6_member_keeps_its_clients(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    async with await SessionApp("six", "::1").open() as six:
        await node.apply(tree(members=(of(six), *map(of, apps)), vips=(front,)))
        browsers = [Browser() for _ in range(12)]
        first = await answered(browsers, at(front))
        assert "six" in first
        assert await answered(browsers, at(front)) == first


async def test_a_pool_that_hashes_keeps_cookies_first(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    hashing = pool(lb_method=LbMethod.SOURCE_IP)
    plain = here("plain")
    await node.apply(tree(pool=hashing, members=tuple(map(of, apps)), vips=(front, plain)))
    mine = (await Browser().get(at(front))).text
    assert {(await Browser().get(at(front))).text for _ in range(5)} == {mine}
    # Ids of the others, as another VIP of the pool may have given them.
    for app in apps:
        assert (await Browser({"LBSESSION": cookie_id(app.name)}).get(at(front))).text == app.name


async def test_without_members_there_is_an_answer_and_no_cookie(node, apps) -> None:
    front = here(session_persistence=HTTP_COOKIE)
    await node.apply(tree(members=(), vips=(front,)))
    reply = await Browser({"LBSESSION": "0123456789abcdef"}).get(at(front))
    assert (reply.status, reply.set_cookies) == (503, [])
    del apps


async def test_switching_persistence_under_load_touches_no_connection(node, apps) -> None:
    front = here()
    members = tuple(map(of, apps))
    await node.apply(tree(members=members, vips=(front,)))
    before = await node.envoy.stats("listener_manager.listener_(added|modified|in_place_updated)")
    async with Load(at(front), keep_alive=8, per_request=2, pause=0.002) as load:
        async with await Connection.open(at(front)) as connection:
            browser = Browser()
            kinds = (None, HTTP_COOKIE, APP_COOKIE, SOURCE_IP, HTTP_COOKIE, None, APP_COOKIE)
            for kind in (*kinds, None):
                kept = vip(address=front.address, port=front.port, session_persistence=kind)
                await node.apply(tree(members=members, vips=(kept,)))
                await load.more(100)
                answers = {(await browser.get_over(connection)).text for _ in range(6)}
                assert (len(answers) == 1) == (kind in {HTTP_COOKIE, SOURCE_IP})
        assert load.failures == {}
    after = await node.envoy.stats("listener_manager.listener_(added|modified|in_place_updated)")
    assert after == before


async def test_a_websocket_is_pinned_by_the_cookie_too(node) -> None:
    front = here(session_persistence=HTTP_COOKIE)

    async def member_side(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"x-lb-" not in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        )
        writer.write(str(writer.get_extra_info("sockname")[1]).encode())
        writer.close()

    ports, servers = [], []
    for _ in range(3):
        server = await asyncio.start_server(member_side, "127.0.0.1", free_port())
        servers.append(server)
        ports.append(server.sockets[0].getsockname()[1])

    mine = tuple(member(n, address="127.0.0.1", port=port) for n, port in enumerate(ports))
    await node.apply(tree(members=mine, vips=(front,)))

    async def upgraded(*headers: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        lines = (b"host: a", b"connection: upgrade", b"upgrade: websocket", *headers)
        writer.write(b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()
        writer.close()
        return head, body

    head, served = await upgraded()
    cookie = head.split(b"set-cookie: ")[1].split(b";")[0]
    assert {(await upgraded(b"cookie: " + cookie))[1] for _ in range(4)} == {served}
    for server in servers:
        server.close()
