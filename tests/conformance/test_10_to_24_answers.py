"""Rules 10 to 23: nonces, ACKs, NACKs. (Rule 24 is Envoy's own: test_real_envoy.py.)"""

import pytest

from tests.conformance.messages import BY_NAME, TYPES, WILD, make
from tests.conformance.node import ADS, DELTA, SOTW, Node
from tests.harness.ads_client import CDS, EDS, LDS, RDS


async def test_rule_10_nonces_are_unique_on_a_stream_and_of_no_use_on_another(
    cache, heard, server, wire
):
    cache.publish("fleet", [make(RDS, name) for name in "abc"])
    nonces = []
    async with Node(server, wire) as node:
        for name in "abc":
            await node.ask(RDS, name)
            answer = await node.take(RDS)
            nonces.append(answer.nonce)
    assert all(nonces)
    heard.confirmed_names.clear()
    async with Node(server, wire) as node:
        await node.ask(RDS, "a", "b")
        answer = await node.receive(RDS)
        assert answer.nonce not in nonces
        for nonce in nonces:
            await node.ask(RDS, nonce=nonce)
        await node.silent()
        assert not heard.has(RDS, "a")
        await node.ack(answer)
        await heard.confirms(RDS, "a")
    assert len({*nonces, answer.nonce}) == 4


@pytest.mark.parametrize("wire", SOTW, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_11_a_stale_nonce_is_not_answered(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, "a")])
    first = await node.first(type_url, "a")
    cache.publish("fleet", [make(type_url, "a", 1)])
    second = await node.receive(type_url)
    heard.confirmed_names.clear()
    await node.ack(first)
    await node.silent()
    assert not heard.has(type_url, "a")
    await node.ack(second)
    await heard.confirms(type_url, "a")


@pytest.mark.parametrize("wire", SOTW, ids=str)
@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_11_the_names_that_come_with_a_stale_nonce_are_not_lost(cache, node, type_url):
    cache.publish("fleet", [make(type_url, "a"), make(type_url, "b")])
    first = await node.first(type_url, "a")
    cache.publish("fleet", [make(type_url, "a", 1), make(type_url, "b")])
    second = await node.receive(type_url)
    await node.ask(type_url, "b", nonce=first.nonce, version=first.version)
    # The names are counted once the response under way is answered with those of before.
    await node.ack(second)
    assert "b" in (await node.take(type_url)).names


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_12_a_first_request_with_an_old_version_and_nonce_is_answered(
    cache, node, type_url
):
    cache.publish("fleet", [make(type_url, "a")])
    await node.ask(type_url, "a", nonce="7", version="of before", initial={"a": "of before"})
    assert (await node.take(type_url)).names == ["a"]


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_13_an_ack_is_not_answered(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, "a")])
    await node.first(type_url, "a")
    await heard.confirms(type_url, "a")
    await node.silent()


@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_13_an_ack_with_other_names_is_answered(cache, node, type_url):
    cache.publish("fleet", [make(type_url, "a"), make(type_url, "b")])
    await node.ask(type_url, "a")
    await node.ack(await node.receive(type_url), "b")
    assert (await node.take(type_url)).names == ["b"]


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_14_a_nack_is_what_has_an_error_even_an_empty_one(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, "a")])
    await node.ask(type_url, "a")
    answer = await node.receive(type_url)
    await node.nack(answer, "", version=answer.version)
    await heard.refuses("a")
    assert not heard.has(type_url, "a")


@pytest.mark.parametrize("wire", SOTW, ids=str)
async def test_rule_14_an_ack_is_what_has_none_even_with_an_old_version(cache, heard, node):
    cache.publish("fleet", [make(CDS, "a")])
    await node.ask(CDS)
    answer = await node.receive(CDS)
    await node.ask(CDS, nonce=answer.nonce, version="older")
    await heard.confirms(CDS, "a")
    assert not heard.rejections


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_15_a_nack_is_not_answered_until_something_changes(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, "a")])
    await node.ask(type_url, *([] if type_url in WILD else ["a"]))
    await node.nack(await node.receive(type_url), "a: no")
    await heard.refuses("a")
    await node.silent()
    cache.publish("fleet", [make(type_url, "a"), make(type_url, "unasked"), make(RDS, "else")])
    if type_url not in WILD:
        await node.silent()
        return
    answer = await node.take(type_url)  # of a type whose names are all asked for
    assert answer.names == ["unasked"]


@pytest.mark.parametrize("type_url", [CDS, RDS])
async def test_rule_16_a_fixed_version_is_delivered(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, "a")])
    await node.ask(type_url, "a")
    await node.nack(await node.receive(type_url), "a: no")
    await heard.refuses("a")
    cache.publish("fleet", [make(type_url, "a", 1)])
    assert (await node.take(type_url)).messages["a"] == make(type_url, "a", 1)
    await heard.confirms(type_url, "a")


@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_17_a_nack_may_change_the_names(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, "a"), make(type_url, "b")])
    await node.ask(type_url, "a")
    await node.nack(await node.receive(type_url), "a: no", "b")
    assert (await node.take(type_url)).names == ["b"]
    await heard.refuses("a")
    await heard.confirms(type_url, "b")


@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_18_a_nack_at_the_version_accepted_before_is_no_ack(
    cache, heard, node, type_url
):
    cache.publish("fleet", [make(type_url, "a"), make(type_url, "b")])
    await node.first(type_url, "a")
    await node.ask(type_url, "b")
    second = await node.receive(type_url)
    assert second.names == ["b"]
    await node.nack(second, "b: no", version=second.version)
    await heard.refuses("b")
    assert not heard.has(type_url, "b")


@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_19_a_nack_with_a_stale_nonce_is_not_blamed_on_the_newer(
    cache, heard, node, type_url
):
    cache.publish("fleet", [make(type_url, "a")])
    first = await node.first(type_url, "a")
    await heard.confirms(type_url, "a")
    heard.confirmed_names.clear()
    cache.publish("fleet", [make(type_url, "a", 1)])
    second = await node.receive(type_url)
    await node.nack(first, "a: no")
    await node.ack(second)
    await heard.confirms(type_url, "a")
    assert not heard.rejections


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_20_a_nonce_is_no_reason_to_lose_a_subscription(cache, node, type_url):
    cache.publish("fleet", [make(type_url, "a"), make(type_url, "b")])
    await node.first(type_url, "a")
    await node.ask(type_url, "b", nonce="no such nonce")
    assert (await node.take(type_url)).names == ["b"]
    await node.ask(type_url, drop=["a"], nonce="no such nonce")
    await node.arrived()
    cache.publish("fleet", [make(type_url, "a", 1), make(type_url, "b")])
    await node.silent()


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_21_a_spontaneous_request_is_no_ack(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, "a"), make(type_url, "b")])
    await node.ask(type_url, "a")
    held_back = await node.receive(type_url)
    await node.ask(type_url, "b")  # nonce empty
    await node.take(type_url)
    await heard.confirms(type_url, "b")
    assert not heard.has(type_url, "a")
    await node.ack(held_back)
    await heard.confirms(type_url, "a")


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", [CDS, RDS])
async def test_rule_22_what_was_in_a_nacked_response_comes_again_but_the_culprit(
    cache, heard, server, wire, type_url
):
    """status-and-order.md: what was refused is not sent again, to a reconnected node either."""
    cache.publish("fleet", [make(type_url, "bad"), make(type_url, "good")])
    async with Node(server, wire) as node:
        await node.ask(type_url, "bad", "good")
        await node.nack(await node.receive(type_url), "bad: no")
        assert (await node.receive(type_url)).names == ["good"]
        await node.silent()
    async with Node(server, wire) as node:
        await node.ask(type_url, "bad", "good")
        names = []
        while not names:  # of the culprit it may hear that there is none
            names = (await node.take(type_url)).names
        assert names == ["good"]
        await node.silent()
        cache.publish("fleet", [make(type_url, "bad", 1), make(type_url, "good")])
        assert (await node.take(type_url)).names == ["bad"]


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_23_answers_are_told_apart_by_their_nonces(cache, heard, node, type_url):
    cache.publish("fleet", [make(type_url, name) for name in "abc"])
    answers = []
    for name in "abc":
        await node.ask(type_url, name)
        answers.append(await node.receive(type_url))
    assert [answer.names for answer in answers] == [["a"], ["b"], ["c"]]
    for at in (2, 0, 1):
        await node.ack(answers[at])
        await heard.confirms(type_url, "abc"[at])
        assert len(heard.confirmed_names) == len({*heard.confirmed_names})
    assert [key.name for key in heard.confirmed_names] == ["c", "a", "b"]


@pytest.mark.parametrize("wire", ADS, ids=str)
async def test_rule_23_a_type_that_is_not_answered_holds_back_no_other(cache, node):
    await node.first(CDS)
    await node.first(LDS)
    cache.publish("fleet", [make(CDS, "a"), make(LDS, "a"), make(EDS, "a")])
    got = {}
    for _ in range(2):
        answer = await node.any()
        got[answer.type_url] = answer.names
    assert got == {CDS: ["a"], LDS: ["a"]}
