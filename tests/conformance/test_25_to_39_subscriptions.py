"""Rules 25 to 39: what is asked for."""

import pytest

from tests.conformance.messages import BY_NAME, TYPES, WILD, make
from tests.conformance.node import DELTA, SOTW
from tests.harness.ads_client import CDS, EDS, LDS, RDS


def publish(cache, type_url, **tags):
    """Makes the names all that the fleet holds, each in the version of its tag."""
    cache.publish("fleet", [make(type_url, name, tag) for name, tag in tags.items()])


@pytest.mark.parametrize("type_url", WILD)
async def test_rule_25_no_names_from_the_start_are_all_names(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    assert sorted((await node.first(type_url)).names) == ["a", "b"]
    publish(cache, type_url, a=0, b=0, c=0)
    assert "c" in (await node.take(type_url)).names


@pytest.mark.parametrize("type_url", WILD)
async def test_rule_26_a_star_is_all_names(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    assert sorted((await node.first(type_url, "*")).names) == ["a", "b"]
    publish(cache, type_url, a=0, b=0, c=0)
    assert "c" in (await node.take(type_url)).names


@pytest.mark.parametrize("type_url", WILD)
async def test_rule_27_a_star_and_names_are_one_set_without_duplicates(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    names = (await node.first(type_url, "*", "a")).names
    if node.wire.delta and len(names) < 2:
        names += (await node.take(type_url)).names  # in delta what is named may come first
    assert sorted(names) == ["a", "b"]
    publish(cache, type_url, a=1, b=1)
    assert sorted((await node.take(type_url)).names) == ["a", "b"]
    await node.silent()


@pytest.mark.parametrize("wire", SOTW, ids=str)
@pytest.mark.parametrize("type_url", WILD)
@pytest.mark.parametrize("star", [("*",), ()])
async def test_rule_28_no_names_after_names_are_none(cache, node, type_url, star):
    publish(cache, type_url, a=0, b=0)
    answer = await node.first(type_url, *star)
    await node.ask(type_url, "a", drop=star, nonce=answer.nonce, version=answer.version)
    answer = await node.take(type_url)
    assert answer.names == ["a"]
    await node.ask(type_url, drop=["a"], nonce=answer.nonce, version=answer.version)
    await node.arrived()
    publish(cache, type_url, a=2, b=2, c=2)
    await node.silent()


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", WILD)
async def test_rule_29_the_legacy_wildcard_survives_names_and_ends_by_its_own(
    cache, node, type_url
):
    await node.first(type_url)
    assert (await node.first(type_url, "named")).removed == ["named"]
    publish(cache, type_url, a=0)
    assert (await node.take(type_url)).names == ["a"]
    await node.ask(type_url, drop=["*"])
    await node.arrived()
    publish(cache, type_url, a=1, b=0)
    await node.silent()
    publish(cache, type_url, a=1, b=0, named=0)
    assert (await node.take(type_url)).names == ["named"]


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_30_the_last_name_dropped_leaves_none(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    await node.first(type_url, "a")
    await node.ask(type_url, drop=["a"])
    await node.arrived()
    publish(cache, type_url, a=1, b=1, c=0)
    await node.silent()


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", WILD)
async def test_rule_31_a_name_dropped_under_a_wildcard_is_answered(cache, node, type_url):
    publish(cache, type_url, a=0)
    answer = await node.first(type_url, "*", "a", "none")
    assert (answer.names, answer.removed) == (["a"], ["none"])
    await node.ask(type_url, drop=["a"])
    assert (await node.take(type_url)).names == ["a"]
    await node.ask(type_url, drop=["none"])
    assert (await node.take(type_url)).removed == ["none"]


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_32_a_name_never_asked_for_may_be_dropped(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    await node.first(type_url, *([] if type_url in WILD else ["a"]))
    await node.ask(type_url, drop=["b", "never"])
    await node.silent()
    publish(cache, type_url, a=1, b=0)
    assert (await node.take(type_url)).names == ["a"]


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
@pytest.mark.parametrize("dropped", [True, False])
async def test_rule_33_a_name_asked_for_again_is_sent_again(cache, node, type_url, dropped):
    publish(cache, type_url, a=0)
    await node.first(type_url, "a")
    if dropped:
        await node.ask(type_url, drop=["a"])
    assert (await node.first(type_url, "a")).names == ["a"]


@pytest.mark.parametrize("wire", SOTW, ids=str)
@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_34_a_name_dropped_and_asked_for_again_is_sent_again(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    answer = await node.first(type_url, "a", "b")
    said = {"nonce": answer.nonce, "version": answer.version}
    await node.ask(type_url, drop=["b"], **said)
    await node.silent()
    await node.ask(type_url, "b", **said)
    assert "b" in (await node.take(type_url)).names


@pytest.mark.parametrize("wire", SOTW, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_35_names_added_at_the_same_version_are_sent(cache, node, type_url):
    publish(cache, type_url, a=0, b=0)
    first = await node.first(type_url, "a")
    assert first.names == ["a"]
    await node.ask(type_url, "b", nonce=first.nonce, version=first.version)
    names = (await node.take(type_url)).names
    assert sorted(names) == (["a", "b"] if type_url in WILD else ["b"])


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_36_a_name_twice_is_one_name(cache, node, type_url):
    publish(cache, type_url, a=0)
    stream = await node.stream(type_url)
    twice = ["a", "a"]
    asked = {"subscribe": twice} if node.wire.delta else {"names": twice}
    await stream.send(type_url, **asked)
    assert (await node.receive(type_url)).names == ["a"]


@pytest.mark.parametrize("type_url", BY_NAME)
async def test_rule_37_other_types_have_no_wildcard_of_no_names(cache, node, type_url):
    publish(cache, type_url, a=0)
    assert (await node.first(type_url)).names == []
    publish(cache, type_url, a=1, b=0)
    await node.silent()


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_38_a_name_that_comes_later_is_pushed(cache, node, type_url):
    first = await node.first(type_url, "a")
    assert "a" not in first.names or first.messages["a"] == make_empty(type_url)
    publish(cache, type_url, a=0, b=0)
    answer = await node.take(type_url)
    assert (answer.names, answer.messages["a"]) == (["a"], make(type_url, "a"))


def make_empty(type_url):
    """Of a runtime layer that does not exist state of the world is sent an empty one."""
    runtime = make(type_url, "a")
    runtime.layer.Clear()
    return runtime


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_39_a_name_that_does_not_exist_is_said_to_be_removed(cache, node, type_url):
    publish(cache, type_url, a=0)
    answer = await node.first(type_url, "a", "none")
    assert (answer.names, answer.removed) == (["a"], ["none"])
    answer = await node.first(type_url, "neither")
    assert (answer.names, answer.removed) == ([], ["neither"])


@pytest.mark.parametrize("wire", DELTA, ids=str)
@pytest.mark.parametrize("type_url", [CDS, EDS, LDS, RDS])
async def test_rule_39_under_a_wildcard_or_beside_other_names(cache, node, type_url):
    publish(cache, type_url, a=0)
    await node.first(type_url, *(["a"] if type_url in BY_NAME else []))
    assert (await node.first(type_url, "none")).removed == ["none"]
