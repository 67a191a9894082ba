"""What the rest of a fleet is given while its canary tries a change, name by name."""

import pytest

from tests.cache.messages import cluster, endpoints, http_listener, route, runtime, tcp_listener
from tests.cache.peer import FLEET, names, tree
from xds.cache import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    RUNTIME,
    Key,
    NodeInfo,
    NodeStream,
    RejectedVersion,
    Request,
    Resource,
    Response,
    SnapshotCache,
)
from xds.cache.canary import Canary
from xds.cache.snapshot import EMPTY, Snapshot

TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)


class Fleet:
    """Some nodes that ask for everything by wildcard or name, and ACK when they are told to."""

    def __init__(
        self,
        *nodes: str,
        canary: str | None = "a",
        load: tuple[Resource, ...] = (),
        routes: tuple[str, ...] = ("*",),
        cache: SnapshotCache | None = None,
    ):
        self.routes = routes
        self.cache = cache or SnapshotCache()
        self.now = 100.0
        self.revision = 1
        self.cache.advance(FLEET, 1, {one.key: one for one in load})
        self.cache.canary(FLEET, canary)
        self.streams = {node: self.connect(node) for node in nodes}
        self.settle()

    def connect(self, node: str) -> NodeStream:
        stream = self.cache.connect(
            fleet=FLEET, node=NodeInfo(node), delta=True, now=self.now, variant=node
        )
        for type_url in TYPES:
            asked = self.routes if type_url == ROUTE else ("*",)
            stream.receive(Request(type_url, subscribe=asked), self.now)
        return stream

    def ask(self, node: str, **names: tuple[str, ...]) -> None:
        self.streams[node].receive(Request(ROUTE, **names), self.now)

    def change(self, *resources: Resource, gone: tuple[Resource, ...] = ()) -> None:
        self.revision += 1
        changes = {one.key: one for one in resources} | {one.key: None for one in gone}
        self.cache.advance(FLEET, self.revision, changes)

    def talk(self, node: str, *, bad: tuple[Resource, ...] = (), mute: str = "") -> list[str]:
        """Answers all that a node is sent; gives the names, in order ("-name": removed)."""
        stream, heard = self.streams[node], []
        todo = stream.run(self.now)
        while todo:
            response = todo.pop(0)
            heard += [*names(response), *(f"-{name}" for name in response.removed)]
            versions = {one.version for one in response.resources}
            refused = [one.key.name for one in bad if one.version in versions]
            if response.type_url == mute:
                continue
            error = f"Error adding/updating {refused[0]}: bad" if refused else None
            request = Request(response.type_url, nonce=response.nonce, error=error)
            stream.receive(request, self.now)
            todo += stream.run(self.now)
        return heard

    def answer(self, stream: NodeStream, responses: list[Response]) -> None:
        for response in responses:
            stream.receive(Request(response.type_url, nonce=response.nonce), self.now)

    def settle(self) -> None:
        for _ in range(3):
            for node in self.streams:
                self.talk(node)

    def held(self) -> set[str]:
        canary = self.cache.canary_of(FLEET)
        return {key.name for key in canary.held} if canary else set()

    def version(self, node: str, key: Key) -> str | None:
        states = self.streams[node].holds(key)
        assert len(states) == 1
        return states[0].version if states[0] else None


@pytest.fixture
def fleet() -> Fleet:
    return Fleet("a", "b", "c", load=(*tree("web", 8000), *tree("api", 8001)))


def test_a_change_goes_to_the_canary_and_then_to_the_rest(fleet):
    new = cluster("web", 1)
    fleet.change(new)
    assert fleet.talk("b") == fleet.talk("c") == []
    assert fleet.held() == {"web"}
    assert "web" in fleet.talk("a")
    assert fleet.held() == set()
    assert "web" in fleet.talk("b")
    assert fleet.version("b", new.key) == new.version


def test_what_is_held_back_is_confirmed_by_nobody_else(fleet):
    fleet.change(cluster("web", 1))
    fleet.change(endpoints("api", 81))
    key, other = Key(CLUSTER, "web"), Key(ENDPOINT, "api")
    a, b = fleet.streams["a"], fleet.streams["b"]
    fleet.talk("b")
    assert b.revision == 3
    assert b.confirmed(key, 1)
    assert not b.confirmed(key, 2)
    assert b.confirmed(other, 2)  # its change came later
    assert not b.confirmed(other, 3)
    assert "held back until the canary" in b.waiting(key, fleet.now)
    fleet.talk("a")
    assert a.confirmed(key, 2)
    assert not b.confirmed(key, 2)  # promoted, and the stream has not seen it
    assert not b.in_step(2)
    responses = b.run(fleet.now)
    assert not b.confirmed(key, 2)  # sent, and not answered
    fleet.answer(b, responses)
    fleet.talk("b")
    assert b.confirmed(key, 2)
    assert b.in_step(3)


def test_a_promoted_change_belongs_to_its_own_revision(fleet):
    fleet.change(cluster("web", 1))
    for tag in range(5):
        fleet.change(endpoints("api", 90 + tag))
    fleet.talk("a")
    b = fleet.streams["b"]
    responses = b.run(fleet.now)
    assert not b.confirmed(Key(CLUSTER, "web"), 2)
    assert b.pending[Key(CLUSTER, "web")].since == 2
    assert b.pending[Key(ENDPOINT, "api")].since == 3
    fleet.answer(b, responses)
    fleet.talk("b")
    assert b.confirmed(Key(CLUSTER, "web"), fleet.revision)
    assert b.in_step(fleet.revision)


def test_a_new_node_is_in_step_without_what_is_held_back(fleet):
    fleet.change(cluster("web", 1))
    fleet.streams["d"] = fleet.connect("d")
    fleet.talk("d")
    assert fleet.version("d", Key(CLUSTER, "web")) == cluster("web").version
    assert fleet.streams["d"].in_step(fleet.revision)
    assert not fleet.streams["d"].confirmed(Key(CLUSTER, "web"), fleet.revision)


def test_a_refused_change_stops_there_and_others_go_on(fleet):
    bad = http_listener("web-vip", 8000, "web-vip", 7)
    fleet.change(bad)
    fleet.talk("a", bad=(bad,))
    assert fleet.held() == {"web-vip"}
    fleet.change(cluster("api", 1), endpoints("api", 99), cluster("web", 2))
    fleet.talk("a")
    assert fleet.held() == {"web-vip"}  # its own cluster, changed later, neither
    heard = fleet.talk("b")
    assert "web-vip" not in heard
    assert {"api", "web"} <= set(heard)
    assert fleet.streams["b"].refused(bad.key)
    assert not fleet.streams["b"].confirmed(bad.key, fleet.revision)
    fixed = http_listener("web-vip", 8000, "web-vip", 8)
    fleet.now += 2
    fleet.change(fixed)
    assert fleet.talk("b") == []
    fleet.talk("a")
    assert fleet.talk("b") == ["web-vip"]
    assert fleet.version("b", fixed.key) == fixed.version


def test_what_changed_together_and_touches_goes_together(fleet):
    """A tenant's new routes are not served by the listener before, which they were not tried with.

    The canary has both by then; the rest waits for the listener, which may be refused.
    """
    bad = http_listener("web-vip", 8000, "web-vip", 7)
    fleet.change(bad, route("web-vip", "web", tag=7))
    fleet.talk("a", bad=(bad,))
    assert fleet.held() == {"web-vip"}
    assert len(fleet.cache.canary_of(FLEET).held) == 2
    assert fleet.talk("b") == []


def test_a_referrer_waits_for_what_the_rest_has_nothing_of(fleet):
    fleet.change(cluster("new"), endpoints("new", 70))
    fleet.talk("a", mute=ENDPOINT)
    fleet.change(tcp_listener("tcp", 9000, "new"))
    fleet.talk("a")
    assert fleet.talk("b") == []
    rest = fleet.cache.canary_of(FLEET).rest
    assert rest.get(Key(LISTENER, "tcp")) is None


def test_a_removal_waits_for_its_referrer(fleet):
    """The old cluster is removed when the listener that leaves it is everywhere."""
    listener = tcp_listener("tcp", 9000, "web")
    fleet.change(listener)
    fleet.settle()
    moved = tcp_listener("tcp", 9000, "api")
    fleet.change(moved)
    fleet.talk("a", bad=(moved,))
    fleet.change(gone=tuple(tree("web", 8000)))
    fleet.talk("a")
    assert {"web", "tcp"} <= fleet.held()
    assert fleet.cache.canary_of(FLEET).rest.get(Key(CLUSTER, "web")) is not None


def test_a_listener_leaves_its_address_when_its_heir_has_been_tried(fleet):
    old, new = tcp_listener("old", 9000, "web"), tcp_listener("new", 9000, "web")
    fleet.change(old)
    fleet.settle()
    fleet.change(new, gone=(old,))
    fleet.talk("a", bad=(new,))
    assert fleet.held() == {"old", "new"}
    assert fleet.talk("b") == []
    fixed = tcp_listener("new", 9000, "web", 1)
    fleet.now += 2
    fleet.change(fixed)
    fleet.talk("a")
    assert sorted(fleet.talk("b")) == ["-old", "new"]


def test_what_is_taken_back_is_held_back_no_more(fleet):
    fleet.change(cluster("web", 1))
    fleet.change(cluster("web"))
    assert fleet.held() == set()
    assert fleet.talk("b") == []
    assert fleet.streams["b"].confirmed(Key(CLUSTER, "web"), fleet.revision)


def test_what_nobody_asks_for_is_not_tried():
    fleet = Fleet("a", "b")
    for stream in fleet.streams.values():
        stream.receive(Request(RUNTIME, subscribe=("other",)), fleet.now)
    fleet.change(runtime("layer", {"one": 1}))
    fleet.settle()
    assert fleet.held() == set()


@pytest.mark.parametrize("unsubscribed", ["before", "after", "never asked"])
def test_routes_that_outlive_their_refused_listener_are_not_waited_for(unsubscribed):
    fleet = Fleet("a", "b", load=tuple(tree("web", 8000)), routes=("web-vip",))
    listener, own = http_listener("taken", 8001, "taken"), route("taken", "web")
    fleet.change(listener, own)
    if unsubscribed != "never asked":
        fleet.ask("a", subscribe=("taken",))
    fleet.talk("a", bad=(listener,))
    if unsubscribed == "before":
        fleet.ask("a", unsubscribe=("taken",))
    fleet.change(gone=(listener,))
    fleet.settle()
    if unsubscribed == "after":
        fleet.ask("a", unsubscribe=("taken",))
    fleet.settle()
    assert fleet.held() == set()
    assert fleet.streams["b"].confirmed(own.key, fleet.revision)


def test_another_canary_has_to_try_what_was_held_back(fleet):
    bad = http_listener("web-vip", 8000, "web-vip", 7)
    fleet.change(bad, cluster("api", 1))
    fleet.talk("a", bad=(bad,), mute=CLUSTER)
    fleet.cache.disconnect(fleet.streams.pop("a"))
    fleet.change(endpoints("api", 99))
    assert fleet.talk("b") == fleet.talk("c") == []
    fleet.cache.canary(FLEET, "b")
    b = fleet.streams["b"]
    assert not b.confirmed(bad.key, 2)
    assert b.confirmed(Key(LISTENER, "api-vip"), fleet.revision)
    assert not b.in_step(fleet.revision)
    assert set(fleet.talk("b", bad=(bad,))) == {"web-vip", "api"}
    assert fleet.held() == {"web-vip"}
    assert set(fleet.talk("c")) == {"api"}
    fleet.now += 2
    fleet.streams["a"] = fleet.connect("a")  # it is one of the others now
    fleet.settle()
    assert fleet.version("a", bad.key) == http_listener("web-vip", 8000, "web-vip").version


def test_switched_off_all_goes_to_all(fleet):
    new = http_listener("web-vip", 8000, "web-vip", 7)
    fleet.change(new)
    fleet.talk("a", mute=LISTENER)
    fleet.cache.canary(FLEET, None)
    assert not fleet.streams["b"].confirmed(new.key, 2)
    assert fleet.talk("b") == ["web-vip"]
    assert fleet.streams["b"].confirmed(new.key, 2)
    fleet.change(cluster("web", 3))
    assert "web" in fleet.talk("c")


def test_a_node_keeps_what_is_its_own_over_either_snapshot(fleet):
    for node, stream in fleet.streams.items():
        fleet.cache.overlay(FLEET, node, 1, {Key(RUNTIME, "layer"): runtime("layer", {node: 1})})
        stream.receive(Request(RUNTIME, subscribe=("layer",)), fleet.now)
    fleet.settle()
    fleet.change(cluster("web", 1))
    mine = runtime("layer", {"b": 2})
    fleet.cache.overlay(FLEET, "b", 1, {mine.key: mine})
    b = fleet.streams["b"]
    assert not b.confirmed(mine.key, 1)
    assert fleet.talk("b") == ["layer"]
    assert b.confirmed(mine.key, fleet.revision)
    fleet.talk("a")
    later = runtime("layer", {"b": 3})
    fleet.cache.overlay(FLEET, "b", 1, {mine.key: later})
    assert not b.confirmed(Key(CLUSTER, "web"), 2)  # both came since it ran
    assert not b.confirmed(mine.key, 1)
    assert {"layer", "web"} <= set(fleet.talk("b"))
    assert fleet.version("b", mine.key) == later.version


def test_what_a_canary_refused_in_an_earlier_process_stays_there():
    good = http_listener("web-vip", 8000, "web-vip")
    bad = http_listener("web-vip", 8000, "web-vip", 7)
    cache = SnapshotCache()
    refused = RejectedVersion(bad.key, bad.version, "bad", good, alone=True)
    cache.restore_rejection(FLEET, "a", refused)
    cache.advance(FLEET, 5, {one.key: one for one in (*tree("web", 8000), bad)})
    cache.canary(FLEET, "a")
    canary = cache.canary_of(FLEET)
    assert set(canary.held) == {bad.key}
    assert canary.rest.get(bad.key) is good
    cache.canary(FLEET, None)
    cache.canary(FLEET, "a")
    assert not cache.canary_of(FLEET).held  # all were given it meanwhile


def test_what_all_were_given_before_is_not_held_back_because_the_canary_refuses_it():
    bad = http_listener("web-vip", 8000, "web-vip", 7)
    cache = SnapshotCache()
    cache.restore_rejection(FLEET, "a", RejectedVersion(bad.key, bad.version, "port in use"))
    cache.advance(FLEET, 5, {one.key: one for one in (*tree("web", 8000), bad)})
    cache.canary(FLEET, "a")
    assert not cache.canary_of(FLEET).held


def test_what_others_cannot_be_without_is_not_held_back_after_a_restart():
    """A cluster that is new, as the route to it: what the rest had before it nobody knows."""
    new = tree("web", 8000)
    cache = SnapshotCache()
    for bad in (new[0], new[2]):
        refused = RejectedVersion(bad.key, bad.version, "bad", alone=True)
        cache.restore_rejection(FLEET, "a", refused)
    cache.advance(FLEET, 5, {one.key: one for one in new})
    cache.canary(FLEET, "a")
    assert set(cache.canary_of(FLEET).held) == {new[2].key}
    assert cache.canary_of(FLEET).rest.get(new[0].key) is new[0]


def test_a_canarys_own_version_of_a_name_is_what_it_has_to_confirm(fleet):
    own = cluster("web", 50)
    fleet.cache.overlay(FLEET, "a", 1, {own.key: own})
    fleet.talk("a")
    fleet.change(cluster("web", 1))
    fleet.talk("a")
    assert fleet.held() == set()
    assert "web" in fleet.talk("b")


def test_only_a_loaded_fleet_has_a_canary():
    with pytest.raises(ValueError, match="not loaded"):
        SnapshotCache().canary("nobody", "a")


def test_a_stream_far_behind_is_compared_in_full(fleet):
    b = fleet.streams["b"]
    for tag in range(1, 1400):
        fleet.change(cluster("web", tag))
        fleet.talk("a")
    assert not b.confirmed(Key(CLUSTER, "web"), 2)
    assert fleet.talk("b").count("web") == 2  # and its endpoints behind it
    assert b.confirmed(Key(CLUSTER, "web"), fleet.revision)


def test_the_rest_is_always_closed_under_reference():
    """Every part that may go on by itself leaves each reference with its target."""
    base = EMPTY.with_changes(1, {one.key: one for one in tree("web", 8000)})
    canary = Canary("a", base.forked(1), [])
    moved = [cluster("new"), endpoints("new"), route("web-vip", "new")]
    changes: dict[Key, Resource | None] = {one.key: one for one in moved}
    changes |= {Key(CLUSTER, "web"): None, Key(ENDPOINT, "web"): None}
    after = base.with_changes(2, changes)
    canary.follow(base, after, changes)
    for done in range(1 << len(changes)):
        chosen = {key for at, key in enumerate(changes) if done >> at & 1}
        ready = ready_with(canary, after, chosen)
        rest = canary.rest.with_turn(
            9, {key: after.get(key) for key in ready}, dict.fromkeys(ready, 2)
        )
        for type_url in rest.types():
            for resource in rest.of_type(type_url).values():
                wanted = [key for key in resource.references if key.type_url in TYPES]
                assert all(rest.get(key) is not None for key in wanted)
        assert ready <= chosen


def ready_with(canary: Canary, after, chosen: set[Key]) -> frozenset[Key]:
    one = Told(canary.node, canary.rest, [], dict(canary.held))
    one.chosen = chosen
    return one.ready(after, list(canary.held))


class Told(Canary):
    """A canary that has confirmed what the test says."""

    chosen: set[Key]

    def confirmed(self, key: Key) -> bool:
        return key in self.chosen


def test_a_change_costs_what_it_is_however_much_is_held_back(monkeypatch):
    """Counted, not timed: how many names are laid into snapshots."""
    fleet = Fleet("a", "b", load=tuple(tree("web", 8000)))
    fleet.change(*(cluster(f"pool-{number}", 1) for number in range(2000)))
    laid: list[int] = []
    edited = Snapshot._edited

    def counted(self, changes):
        laid.append(len(changes))
        return edited(self, changes)

    monkeypatch.setattr(Snapshot, "_edited", counted)
    for tag in range(1, 20):
        fleet.change(cluster("web", tag))
        for stream in fleet.streams.values():
            fleet.cache.given(stream)
    assert laid == [1] * 19


def test_a_grpc_client_that_bears_its_name_is_no_canary():
    """All processes of one bootstrap share an id: what one of them holds says nothing."""
    fleet = Fleet("a", "b")
    info = NodeInfo("a", user_agent="gRPC Python")
    fleet.cache.connect(fleet=FLEET, node=info, delta=False, now=fleet.now)
    canary = fleet.cache.canary_of(FLEET)
    assert canary is not None
    assert canary.streams == [fleet.streams["a"]]
    fleet.cache.canary(FLEET, "b")
    fleet.cache.canary(FLEET, "a")
    assert canary.streams == [fleet.streams["a"]]
