"""APP_COOKIE on a real Envoy: the application's cookie as it sees it, and as its clients do."""

import contextlib
import dataclasses
import re
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest

from lbaas.model.enums import SessionPersistenceType
from lbaas.model.objects import SessionPersistence
from tests.harness.members import Mode
from tests.harness.session_app import Browser, SessionApp, address_leaks
from tests.translate.node import TranslatedNode
from tests.translate.test_http_cookie import answered
from tests.translate.test_traffic import at, here, of
from tests.translate.trees import tree
from xds.translate.endpoints import cookie_id

APP_COOKIE = SessionPersistence(type=SessionPersistenceType.APP_COOKIE, cookie_name="JSESSIONID")


@pytest.fixture
async def node() -> AsyncIterator[TranslatedNode]:
    async with TranslatedNode() as node:
        yield node


@pytest.fixture
async def apps() -> AsyncIterator[list[SessionApp]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(await SessionApp(f"m{number}").open())
            for number in range(3)
        ]


@pytest.fixture
async def front(node, apps):
    """A VIP with APP_COOKIE on JSESSIONID before the applications."""
    front = here(session_persistence=APP_COOKIE)
    await node.apply(tree(members=tuple(map(of, apps)), vips=(front,)))
    return front


async def test_an_application_keeps_its_own_sessions(front, apps) -> None:
    for app in apps:
        app.cookie = "JSESSIONID"
    browsers = [Browser() for _ in range(12)]
    first = await answered(browsers, at(front))
    assert Counter(first) == dict.fromkeys((app.name for app in apps), 4)
    for _ in range(3):
        assert await answered(browsers, at(front)) == first
    for app in apps:
        # Its own values, each as it was set, and no session began anew.
        assert app.sessions == {f"{app.name}.{number}": 3 for number in range(1, 5)}
    for browser in browsers:
        assert not [leak for app in apps for leak in address_leaks(browser.received, app)]
        assert b"x-lb-" not in browser.received


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("JSESSIONID=<>one", "JSESSIONID=one"),
        ("JSESSIONID=<>one; b=2", "JSESSIONID=one; b=2"),
        ("a=1; JSESSIONID=<>one; b=2", "a=1; JSESSIONID=one; b=2"),
        ("a=1; JSESSIONID=<>one", "a=1; JSESSIONID=one"),
        ("a=1;JSESSIONID=<>one;b=2", "a=1;JSESSIONID=one;b=2"),
        ('JSESSIONID="<>one"; b="2"', 'JSESSIONID="one"; b="2"'),
        ("JSESSIONID=<><>one", "JSESSIONID=<>one"),
        ("JSESSIONID=<>one; JSESSIONID=<>two", "JSESSIONID=one; JSESSIONID=two"),
        ("XJSESSIONID=<>x; JSESSIONID=<>one", "XJSESSIONID=<>x; JSESSIONID=one"),
        ("JSESSIONID=<>a=b==~c", "JSESSIONID=a=b==~c"),
        ("JSESSIONID=<>", "JSESSIONID="),
        # Longer than what Envoy's metadata holds (8 KiB, Envoy 1.40.0).
        (f"a={'x' * 9000}; JSESSIONID=<>one; b=2", f"a={'x' * 9000}; JSESSIONID=one; b=2"),
        (f'JSESSIONID="<>{"x" * 9000}"', f'JSESSIONID="{"x" * 9000}"'),
    ],
)
async def test_the_tag_leads_there_and_is_taken_off(front, apps, sent, seen) -> None:
    for app in apps:
        tag = f"{cookie_id(app.name)}~"
        for _ in range(2):
            reply = await Browser().get(at(front), cookie=sent.replace("<>", tag))
            assert (reply.status, reply.text) == (200, app.name)
            assert app.last("cookie") == seen.replace("<>", tag)


@pytest.mark.parametrize(
    "sent",
    [
        "JSESSIONID=untagged",
        "JSESSIONID=",
        "JSESSIONID",
        "a=1; b=2",
        "JSESSIONID=0123456789abcde~short",
        "JSESSIONID=0123456789ABCDEF~upper",
        "jsessionid=0123456789abcdef~other",
        "a=~; b=0123456789abcdef~; JSESSIONID=mine",
        "JSESSIONID=MTI3LjAuMC4xOjQ0Mzg5~x",
    ],
)
async def test_what_has_no_tag_passes_as_it_is_and_is_balanced(front, apps, sent) -> None:
    answers = set()
    for _ in range(3):
        reply = await Browser().get(at(front), cookie=sent)
        assert reply.status == 200
        answers.add(reply.text)
    assert len(answers) == 3
    assert {app.last("cookie") for app in apps} == {sent}


async def test_a_tag_of_nobody_is_balanced_and_taken_off(front, apps) -> None:
    answers = [
        (await Browser().get(at(front), cookie="JSESSIONID=0123456789abcdef~one")).text
        for _ in range(3)
    ]
    assert len(set(answers)) == 3
    assert {app.last("cookie") for app in apps} == {"JSESSIONID=one"}


@pytest.mark.parametrize(
    ("set_by_app", "seen_by_client"),
    [
        ("JSESSIONID=one", "JSESSIONID=<>one"),
        (
            "JSESSIONID=one; Path=/shop; Domain=a.example; Max-Age=60; Secure; HttpOnly",
            "JSESSIONID=<>one; Path=/shop; Domain=a.example; Max-Age=60; Secure; HttpOnly",
        ),
        ('JSESSIONID="one two"; Path=/', 'JSESSIONID="<>one two"; Path=/'),
        ("JSESSIONID=a=b==", "JSESSIONID=<>a=b=="),
        ("JSESSIONID=a~b", "JSESSIONID=<>a~b"),
        # Deleted: what is empty stays so, what ends now ends.
        ("JSESSIONID=", "JSESSIONID="),
        ("JSESSIONID=; Max-Age=0; Path=/", "JSESSIONID=; Max-Age=0; Path=/"),
        ('JSESSIONID=""; Max-Age=0', 'JSESSIONID=""; Max-Age=0'),
        ("JSESSIONID=gone; Max-Age=0", "JSESSIONID=<>gone; Max-Age=0"),
        (
            "JSESSIONID=gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "JSESSIONID=<>gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ),
        # Others.
        ("XJSESSIONID=one", "XJSESSIONID=one"),
        ("JSESSIONID2=one", "JSESSIONID2=one"),
        ("jsessionid=one", "jsessionid=one"),
        ("other=JSESSIONID=one", "other=JSESSIONID=one"),
        ("JSESSIONID", "JSESSIONID"),
    ],
)
async def test_what_the_application_sets(front, apps, set_by_app, seen_by_client) -> None:
    for app in apps:
        app.headers = [f"set-cookie: {set_by_app}"]
    reply = await Browser().get(at(front))
    tag = f"{cookie_id(reply.text)}~"
    assert reply.set_cookies == [seen_by_client.replace("<>", tag)]


async def test_several_cookies_keep_their_order_and_an_answer_to_a_long_one_is_tagged(
    front, apps
) -> None:
    values = ["a=1; Path=/", "JSESSIONID=one; Path=/", "b=2,3", "JSESSIONID=two; Path=/x", "c="]
    for app in apps:
        app.headers = [f"set-cookie: {value}" for value in values]
    first = await Browser().get(at(front))
    tag = f"{cookie_id(first.text)}~"
    expected = [value.replace("JSESSIONID=", f"JSESSIONID={tag}") for value in values]
    assert first.set_cookies == expected
    # Lua takes the tag off a long header; the same Lua tags the answer.
    long = f"x={'x' * 9000}; JSESSIONID={tag}one"
    second = await Browser().get(at(front), cookie=long)
    assert (second.text, second.set_cookies) == (first.text, expected)


@pytest.mark.parametrize("name", ["A1!#$&'*+-.^_`|~", "$*", "a.b", "||", "JSESSIONID"])
async def test_names_are_taken_as_they_are(node, apps, name) -> None:
    kept = dataclasses.replace(APP_COOKIE, cookie_name=name)
    front = here(session_persistence=kept)
    await node.apply(tree(members=tuple(map(of, apps)), vips=(front,)))
    for app in apps:
        app.headers = [f"set-cookie: {name}=one; Path=/", "set-cookie: axb=other"]
    first = await Browser().get(at(front))
    tag = f"{cookie_id(first.text)}~"
    assert first.set_cookies == [f"{name}={tag}one; Path=/", "axb=other"]
    for padding in ("", "x" * 9000):
        cookie = f"axb={tag}{padding}; {name}={tag}one"
        for _ in range(3):
            reply = await Browser().get(at(front), cookie=cookie)
            assert reply.text == first.text
        (app,) = [app for app in apps if app.name == first.text]
        assert app.last("cookie") == f"axb={tag}{padding}; {name}=one"


async def test_http_2_may_send_it_in_crumbs(front, apps) -> None:
    target = apps[1]
    crumbs = ("a=1", f"JSESSIONID={cookie_id(target.name)}~one", "b=2")
    async with grpc.aio.insecure_channel(at(front)) as channel:
        call = channel.unary_unary("/any/thing")
        for _ in range(3):
            # An HTTP/2 client, with each crumb in a header of its own; the answer is not gRPC's.
            with pytest.raises(grpc.aio.AioRpcError):
                await call(b"", metadata=tuple(("cookie", crumb) for crumb in crumbs))
    lines = "\r\n".join(head for app in apps for head in app.heads).split("\r\n")
    cookies = [line for line in lines if line.startswith("cookie:")]
    assert [re.sub("; ", ";", cookie) for cookie in cookies] == [
        "cookie: a=1;JSESSIONID=one;b=2"
    ] * 3
    assert {app.name for app in apps if app.heads} == {target.name}


async def test_headers_of_our_own_steer_nothing_and_are_seen_by_nobody(front, apps) -> None:
    other = cookie_id(apps[2].name)
    for app in apps:
        app.cookie = "JSESSIONID"
        app.headers = [f"x-lb-member: {other}", "x-lb-host: of-the-member"]
    browser = Browser()
    forged = {"x-lb-member": other, "x-lb-host": "MTI3LjAuMC4xOjE="}
    first = await browser.get(at(front), **forged)
    assert browser.cookies["JSESSIONID"].startswith(f"{cookie_id(first.text)}~")
    assert {(await browser.get(at(front), **forged)).text for _ in range(3)} == {first.text}
    assert b"x-lb-" not in browser.received
    assert "x-lb-" not in "".join(head for app in apps for head in app.heads)


async def test_who_is_gone_is_balanced_and_kept_where_its_next_session_begins(
    node, front, apps
) -> None:
    for app in apps:
        app.cookie = "JSESSIONID"
    browsers = [Browser() for _ in range(9)]
    first = await answered(browsers, at(front))
    await apps[0].become(Mode.CLOSED)
    now = await answered(browsers, at(front))
    assert {was for was, new in zip(first, now, strict=True) if was != new} == {"m0"}
    await node.apply(tree(members=tuple(map(of, apps[1:])), vips=(front,)))
    for _ in range(3):
        assert await answered(browsers, at(front)) == now
