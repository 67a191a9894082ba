"""The server as a library: what may be published, what is said of it, and that it needs no more."""

import subprocess
import sys
import warnings
from datetime import timedelta
from importlib import import_module

import grpc
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.duration_pb2 import Duration

from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, RDS, DeltaClient
from xds.cache import Key, SnapshotCache, Verdict, Verdicts
from xds.server import serve


@pytest.fixture
def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's deprecations in the generated code
        yield import_module("envoy_data_plane.envoy.config.cluster.v3")


def version(cache, key):
    return cache.snapshot("edge").get(key).version


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_is_the_same_version_in_each_of_the_three_forms(theirs):
    ours = resources.cluster("web", connect_timeout=2)
    forms = [
        ours,
        theirs.Cluster.parse(ours.SerializeToString()),
        (CDS, "web", ours.SerializeToString()),
    ]
    versions = set()
    for form in forms:
        cache = SnapshotCache()
        cache.publish("edge", [form])
        found = cache.snapshot("edge").get(Key(CDS, "web"))
        assert found.references == {Key(EDS, "web")}
        versions.add(found.version)
    assert len(versions) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_message_of_the_other_library_that_is_made_there_is_sent(theirs):
    made = theirs.Cluster(name="web", connect_timeout=timedelta(seconds=2))
    cache = SnapshotCache()
    cache.publish("edge", [made])
    same = SnapshotCache()
    same.publish("edge", [Cluster(name="web", connect_timeout=Duration(seconds=2))])
    assert version(cache, Key(CDS, "web")) == version(same, Key(CDS, "web"))


def test_a_second_call_publishes_the_difference():
    cache = SnapshotCache()
    tree = [resources.cluster("a"), resources.endpoints("a")]
    first = cache.publish("edge", tree)
    assert cache.publish("edge", tree[::-1]) == first
    before = cache.snapshot("edge")
    cache.publish("edge", [*tree, resources.cluster("b"), resources.endpoints("b")])
    after = cache.snapshot("edge")
    assert after.get(Key(CDS, "a")) is before.get(Key(CDS, "a"))
    assert {key.name for key in after.changes_from(before)} == {"b"}
    cache.publish("edge", [])
    assert not list(cache.snapshot("edge").types())


def test_routes_that_are_named_by_who_gives_them_need_their_clusters_too():
    unnamed = resources.route("r", "a")
    unnamed.ClearField("name")
    unnamed.request_mirror_policies.add(cluster="shadow")
    cache = SnapshotCache()
    cache.publish("edge", [(RDS, "r", unnamed.SerializeToString())])
    found = cache.snapshot("edge").get(Key(RDS, "r"))
    assert found.references == {Key(CDS, "a"), Key(CDS, "shadow")}


def test_a_type_of_somebody_elses_is_carried_as_it_is():
    cache = SnapshotCache()
    cache.publish("edge", [("type.googleapis.com/acme.Thing", "one", b"\x0a\x01x")])
    assert cache.snapshot("edge").get(Key("type.googleapis.com/acme.Thing", "one")).body


@pytest.mark.parametrize(
    ("messages", "error", "words"),
    [
        ([Cluster()], ValueError, "messages[0]: a Cluster without a name"),
        ([Cluster(name="a"), Cluster(name="a")], ValueError, "messages[1]: Cluster 'a' is there"),
        ([(CDS, "a", b"\xff")], ValueError, "messages[0]: its bytes are no envoy.config.cluster"),
        (
            [(CDS, "a", Cluster(name="b").SerializeToString())],
            ValueError,
            "messages[0]: it is named 'b', and given as 'a'",
        ),
        ([("Cluster", "a", b"")], ValueError, "messages[0]: the type URL 'Cluster' does not"),
        (["web"], TypeError, "messages[0]: str is no message of xds-protos or envoy-data-plane"),
        ([{"name": "web"}], TypeError, "messages[0]: dict is no message"),
        ([(CDS, "web")], TypeError, "messages[0]: a tuple is (type URL, name, bytes)"),
        ([(CDS, "web", "text")], TypeError, "messages[0]: a tuple is (type URL, name, bytes)"),
    ],
)
def test_what_cannot_be_published_is_said_and_nothing_is(messages, error, words):
    cache = SnapshotCache()
    cache.publish("edge", [ClusterLoadAssignment(cluster_name="before")])
    with pytest.raises(error) as raised:
        cache.publish("edge", messages)
    assert str(raised.value).startswith(words)
    assert cache.snapshot("edge").get(Key(EDS, "before"))


async def test_a_callback_is_told_what_a_node_accepts_refuses_and_lets_go():
    told: list[Verdict] = []
    cache = SnapshotCache(Verdicts(told.append))
    listener = resources.tcp_listener("vip", 10_000, "elsewhere")
    cache.publish("edge", [listener, resources.cluster("a"), resources.endpoints("a")])
    async with (
        await serve(cache, "127.0.0.1:0") as server,
        DeltaClient(f"127.0.0.1:{server.port}", fleet="edge", node="n1") as node,
    ):
        await node.send(CDS)
        await node.take(CDS)
        await node.send(LDS)
        answer = await node.receive(LDS)
        await node.nack(answer, "Error adding/updating listener(s) vip: cannot bind")
        # What comes next is answered after the refusal was taken.
        await node.send(EDS, subscribe=["a", "none"])
        while (answer := await node.take(EDS)).removed_resources != ["none"]:
            pass
        cluster = told[0]
        assert cluster == Verdict("edge", "n1", CDS, "a", cluster.version, accepted=True)
        assert cluster.version == version(cache, Key(CDS, "a"))
        (refused,) = [each for each in told if not each.accepted]
        assert (refused.type_url, refused.name) == (LDS, "vip")
        assert refused.message.endswith("cannot bind")
        cache.publish("edge", [listener])
        while "gone" not in (await node.take()).removed_resources:
            await node.send(CDS, subscribe=["gone"])
    assert Verdict("edge", "n1", CDS, "a", "", accepted=True) in told


async def test_a_callback_that_fails_is_logged_and_its_node_is_served_on(caplog):
    told: list[str] = []

    def hear(verdict: Verdict) -> None:
        told.append(verdict.name)
        raise RuntimeError("the callback's own fault")

    cache = SnapshotCache(Verdicts(hear))
    cache.publish("edge", [resources.cluster("a"), resources.cluster("b")])
    async with (
        await serve(cache, "127.0.0.1:0") as server,
        DeltaClient(f"127.0.0.1:{server.port}", fleet="edge", node="n1") as node,
    ):
        await node.send(CDS)
        await node.take(CDS)
        cache.publish("edge", [])
        assert sorted((await node.take(CDS)).removed_resources) == ["a", "b"]
    assert sorted(told[:2]) == ["a", "b"]  # each is told, whatever became of the one before
    assert [record.name for record in caplog.records] == ["xds.cache.verdicts"] * len(told)


async def test_a_stream_that_an_observer_fails_on_is_not_kept(caplog):
    class Failing(Verdicts):
        def opened(self, stream):
            raise RuntimeError("the observer's own fault")

    cache = SnapshotCache(Failing(print))
    cache.publish("edge", [])
    async with (
        await serve(cache, "127.0.0.1:0") as server,
        DeltaClient(f"127.0.0.1:{server.port}", fleet="edge", node="n1") as node,
    ):
        await node.send(CDS)
        assert await node.status() == (grpc.StatusCode.INTERNAL, "internal error")
    assert not cache.streams("edge")
    assert "the observer's own fault" in caplog.text


def test_it_needs_no_database_and_nothing_of_the_product():
    program = (
        "import sys, xds.cache, xds.server\n"
        "own = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(own & {'sqlalchemy', 'lbaas', 'api', 'agent', 'tidegate', 'structlog'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
