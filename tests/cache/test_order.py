"""Make before break: what goes before what, what waits, and that nothing else waits with it."""

from collections import Counter

from tests.cache.messages import cluster, endpoints, http_listener, route, tcp_listener
from tests.cache.peer import Peer, names, tree
from xds.cache import CLUSTER, ENDPOINT, LISTENER, ROUTE, Key, empty_endpoints
from xds.cache.channel import CLUSTERS_IN_FLIGHT


def settled(*resources, delta=True):
    """A peer that holds everything."""
    peer = Peer(delta=delta)
    responses = [*peer.set(*resources), *peer.ask(CLUSTER), *peer.ask(LISTENER)]
    for type_url in (ENDPOINT, ROUTE):
        wanted = tuple(sorted(one.key.name for one in resources if one.key.type_url == type_url))
        responses += peer.ask(type_url, subscribe=wanted)
    while responses:
        responses += peer.ack(responses.pop(0))
    assert peer.stream.in_step(peer.revision)
    peer.settled.clear()
    return peer


def kinds(responses):
    return [(one.type_url.rpartition(".")[2][:7], names(one), one.removed) for one in responses]


def test_a_listener_waits_for_its_cluster_through_its_route_and_says_so():
    peer = Peer()
    for type_url in (LISTENER, CLUSTER):
        (empty,) = peer.ask(type_url)
        peer.ack(empty)
    (clusters,) = peer.set(*tree("a"))
    assert names(clusters) == ["a"]
    peer.now += 2.1
    words = peer.stream.waiting(Key(LISTENER, "a-vip"), peer.now)
    assert words == ("Listener a-vip waits for Cluster a (Cluster a sent, unanswered for 2.1 s)")
    (empty,) = peer.ask(ENDPOINT, subscribe=("a",))
    assert empty.resources[0].version == empty_endpoints("a").version
    assert peer.ack(clusters) == []  # the cluster is there, its members are not yet
    (real,) = peer.ack(empty)
    assert real.resources[0].version == endpoints("a", 80).version
    (listener,) = peer.ack(real)
    assert names(listener) == ["a-vip"]
    (routes,) = peer.ask(ROUTE, subscribe=("a-vip",))
    peer.ack(listener)
    peer.ack(routes)
    assert peer.stream.in_step(peer.revision)


def test_rule_42_endpoints_follow_a_changed_cluster_at_once_though_unchanged():
    peer = settled(*tree("a"))
    responses = peer.set(cluster("a", 1))
    assert kinds(responses) == [("Cluster", ["a"], ()), ("Cluster", ["a"], ())]
    assert [one.type_url for one in responses] == [CLUSTER, ENDPOINT]
    assert responses[1].resources[0].version == endpoints("a", 80).version


def test_a_changed_cluster_that_nothing_refers_to_is_emptied_first():
    """A tenant who adds a monitor step by step, with a mute member, holds back nobody."""
    peer = settled(cluster("a"), endpoints("a", 80))
    clusters, empty = peer.set(cluster("a", 1))
    assert empty.resources[0].version == empty_endpoints("a").version
    assert not peer.stream.confirmed(Key(ENDPOINT, "a"), peer.revision)
    (real,) = peer.ack(empty)
    assert real.resources[0].version == endpoints("a", 80).version
    peer.ack(real)
    peer.ack(clusters)
    assert peer.stream.in_step(peer.revision)


def test_a_cluster_that_a_serving_route_is_to_lead_to_next_warms_with_its_members():
    peer = settled(*tree("a"))
    (clusters,) = peer.set(cluster("b"), endpoints("b", 81), route("a-vip", "b"))
    assert names(clusters) == ["b"]
    (real,) = peer.ask(ENDPOINT, subscribe=("b",))
    # Sent empty first, the cluster would be there before any of its members was checked.
    assert real.resources[0].version == endpoints("b", 81).version
    peer.ack(real)
    assert "waits for Cluster b" in peer.stream.waiting(Key(ROUTE, "a-vip"), peer.now)
    (routes,) = peer.ack(clusters)
    assert (routes.type_url, names(routes)) == (ROUTE, ["a-vip"])


def test_endpoints_that_a_serving_cluster_shares_are_never_sent_empty():
    peer = settled(*tree("a"))
    responses = peer.set(cluster("a-by-source", shares="a"))
    assert [one.type_url for one in responses] == [CLUSTER, ENDPOINT]
    assert responses[1].resources[0].version == endpoints("a", 80).version
    # Both change, in whatever order they stand in the response.
    peer = settled(*tree("b"), cluster("a-by-source", shares="b"))
    responses = peer.set(cluster("b", 1), cluster("a-by-source", 1, shares="b"))
    sent = [one for each in responses for one in each.resources if one.key.type_url == ENDPOINT]
    assert {one.version for one in sent} == {endpoints("b", 80).version}


def test_rule_43_endpoints_do_not_wait_for_any_answer():
    peer = settled(*tree("a"), *tree("b", 2))
    peer.set(cluster("a", 1))
    assert [one.type_url for one in peer.set(cluster("b", 1))] == []
    assert [one.type_url for one in peer.after(0.25)] == [CLUSTER, ENDPOINT]


def test_rule_44_endpoints_of_a_cluster_that_is_not_held_are_not_pushed():
    peer = Peer()
    peer.set(cluster("a"), endpoints("a", 1))
    (response,) = peer.ask(ENDPOINT, subscribe=("a",))
    peer.ack(response)
    assert peer.set(endpoints("a", 2)) == []


def test_a_deleted_tree_leaves_in_reverse_each_step_after_the_answer_to_the_one_before():
    peer = settled(*tree("a"))
    (listener,) = peer.set(gone=tuple(tree("a")))
    assert kinds([listener]) == [("Listene", [], ("a-vip",))]
    assert peer.after(60) == []  # no deadline sends
    (routes,) = peer.ack(listener)
    assert routes.removed == ("a-vip",)
    (clusters,) = peer.ack(routes)
    assert (clusters.type_url, clusters.removed) == (CLUSTER, ("a",))
    (ends,) = peer.ack(clusters)
    assert (ends.type_url, ends.removed) == (ENDPOINT, ("a",))
    peer.ack(ends)
    assert peer.stream.in_step(peer.revision)
    assert not peer.stream.pending


def test_names_that_the_client_drops_by_itself_need_no_removal():
    peer = settled(*tree("a"))
    (listener,) = peer.set(gone=tuple(tree("a")))
    (clusters,) = peer.ask(ROUTE, unsubscribe=("a-vip",))
    assert peer.ack(listener) == []
    peer.ask(ENDPOINT, unsubscribe=("a",))
    assert peer.ack(clusters) == []
    assert peer.stream.in_step(peer.revision)


def test_a_route_goes_to_a_new_cluster_before_the_old_one_goes():
    peer = settled(*tree("blue"))
    changes = (cluster("green"), endpoints("green", 1), route("blue-vip", "green"))
    (clusters,) = peer.set(*changes, gone=(cluster("blue"), endpoints("blue", 80)))
    assert kinds([clusters]) == [("Cluster", ["green"], ())]
    (real,) = peer.ask(ENDPOINT, subscribe=("green",))
    assert peer.ack(real) == []
    (routes,) = peer.ack(clusters)
    assert routes.type_url == ROUTE
    (removal,) = peer.ack(routes)
    assert removal.removed == ("blue",)


def test_a_stuck_cluster_delays_only_what_refers_to_it():
    peer = settled(*tree("a"), *tree("b", 2))
    _, ends = peer.set(cluster("a", 1))
    peer.ack(ends)
    assert kinds(peer.set(endpoints("b", 99))) == [("Cluster", ["b"], ())]
    assert kinds(peer.set(route("b-vip", "b", tag=1))) == [("RouteCo", ["b-vip"], ())]
    peer.set(cluster("c"), endpoints("c", 1))
    assert [names(one) for one in peer.after(0.25)] == [["c"]]
    assert not peer.stream.confirmed(Key(CLUSTER, "a"), 2)


def test_a_listener_that_replaces_another_comes_with_its_removal():
    peer = settled(tcp_listener("old", 1, "static"))
    (response,) = peer.set(tcp_listener("new", 1, "static"), gone=(tcp_listener("old", 1, "x"),))
    assert (names(response), response.removed) == (["new"], ("old",))


def test_the_old_listener_stays_while_the_new_one_waits_for_its_cluster():
    peer = settled(tcp_listener("old", 1, "static"))
    made = (cluster("c"), endpoints("c", 1), tcp_listener("new", 1, "c"))
    (clusters,) = peer.set(*made, gone=(tcp_listener("old", 1, "static"),))
    assert clusters.type_url == CLUSTER
    (empty,) = peer.ask(ENDPOINT, subscribe=("c",))
    (real,) = peer.ack(empty)
    peer.ack(clusters)
    (response,) = peer.ack(real)
    assert (names(response), response.removed) == (["new"], ("old",))


def test_the_old_listener_goes_when_the_new_one_can_never_come():
    peer = settled(tcp_listener("old", 1, "static"))
    made = (cluster("c"), endpoints("c", 1), tcp_listener("new", 1, "c"))
    (clusters,) = peer.set(*made, gone=(tcp_listener("old", 1, "static"),))
    (response,) = peer.nack(clusters, "c: no")
    assert (names(response), response.removed) == ([], ("old",))


def back(*resources):
    """A peer whose control plane is another process than the one it holds listener `a-vip` from."""
    peer = Peer()
    peer.set(*resources)
    peer.ask(CLUSTER, initial_versions={"a": cluster("a").version})
    peer.ask(ENDPOINT, subscribe=("a",), initial_versions={"a": endpoints("a", 80).version})
    return peer


def replacing():
    return cluster("a"), endpoints("a", 80), tcp_listener("next", 8000, "a")


def test_a_listener_of_which_only_the_name_is_known_goes_with_the_one_that_may_replace_it():
    peer = back(*replacing())
    responses = peer.ask(LISTENER, initial_versions={"a-vip": "what another process made"})
    assert kinds(responses) == [("Listene", ["next"], ("a-vip",))]


def test_it_stays_while_the_one_that_may_replace_it_waits_and_goes_when_that_is_stuck():
    peer = back(cluster("a"), endpoints("a", 80), tcp_listener("next", 8000, "b"), cluster("b"))
    (nothing,) = peer.ask(LISTENER, initial_versions={"a-vip": "what another process made"})
    assert kinds([nothing]) == [("Listene", [], ())]
    assert peer.ack(nothing) == []
    (gone,) = peer.after(5.1)
    assert kinds([gone]) == [("Listene", [], ("a-vip",))]
    assert "waits for Cluster b" in peer.stream.waiting(Key(LISTENER, "next"), peer.now)


def test_it_goes_at_once_where_nothing_may_replace_it():
    peer = back(cluster("a"), endpoints("a", 80))
    responses = peer.ask(LISTENER, initial_versions={"a-vip": "what another process made"})
    assert kinds(responses) == [("Listene", [], ("a-vip",))]


def test_routes_that_nothing_refers_to_are_waited_for_only_where_they_are_asked_for():
    peer = settled(*tree("a"))
    assert peer.stream.confirmed(Key(ROUTE, "a-vip"), peer.revision)
    peer.set(route("old", "a"))
    assert peer.stream.confirmed(Key(ROUTE, "old"), peer.revision)
    (routes,) = peer.ask(ROUTE, subscribe=("old",))
    assert not peer.stream.confirmed(Key(ROUTE, "old"), peer.revision)
    peer.ack(routes)
    assert peer.stream.confirmed(Key(ROUTE, "old"), peer.revision)
    peer.set(route("old", "a", tag=1))
    assert not peer.stream.confirmed(Key(ROUTE, "old"), peer.revision)
    peer.ask(ROUTE, unsubscribe=("old",))
    assert peer.stream.confirmed(Key(ROUTE, "old"), peer.revision)


def test_listeners_exchange_their_addresses():
    peer = settled(tcp_listener("a", 1, "static"), tcp_listener("b", 2, "static"))
    (first,) = peer.set(tcp_listener("a", 2, "static"), tcp_listener("b", 1, "static"))
    assert len(first.removed) == 1
    (second,) = peer.ack(first)
    assert names(second) == [first.removed[0]]
    peer.ack(second)
    assert peer.stream.in_step(peer.revision)


def test_a_first_subscription_is_answered_with_what_its_listener_came_with():
    """The route changed to a cluster that is not there yet, before the client asked for it."""
    peer = settled(cluster("a"), endpoints("a", 80))
    before = route("r", "a")
    (listener,) = peer.set(before, http_listener("l", 1, "r"))
    (clusters,) = peer.set(cluster("b"), endpoints("b", 1), route("r", "b"))
    (response,) = peer.ask(ROUTE, subscribe=("r",))
    assert response.resources[0].version == before.version
    (empty,) = peer.ask(ENDPOINT, subscribe=("b",))
    peer.ack(listener)
    peer.ack(response)
    peer.ack(clusters)
    (real,) = peer.ack(empty)
    (response,) = peer.ack(real)
    assert response.resources[0].version == route("r", "b").version


def test_nobody_is_led_to_a_cluster_that_went_before_its_route_was_asked_for():
    peer = settled(cluster("a"), endpoints("a", 80))
    peer.set(route("r", "a"), http_listener("l", 1, "r"))
    new = (cluster("b"), endpoints("b", 1), route("r", "b"))
    (added,) = peer.set(*new, gone=(cluster("a"), endpoints("a", 80)))
    (empty,) = peer.ask(ENDPOINT, subscribe=("b",))
    (removed,) = peer.ack(added)
    assert removed.removed == ("a",)
    peer.ack(removed)
    assert peer.ask(ROUTE, subscribe=("r",)) == []
    (real,) = peer.ack(empty)
    led, _ = peer.ack(real)
    assert led.resources == (new[-1],)


def test_clients_that_ask_by_name_are_given_routes_before_clusters():
    """gRPC asks for a cluster when a route names it: no gate, or it would wait for ever."""
    peer = Peer(delta=False)
    peer.set(*tree("a"))
    (listener,) = peer.ask(LISTENER, names=("a-vip",))
    peer.ack(listener, names=("a-vip",))
    (routes,) = peer.ask(ROUTE, names=("a-vip",))
    peer.ack(routes, names=("a-vip",))
    (clusters,) = peer.ask(CLUSTER, names=("a",))
    (ends,) = peer.ask(ENDPOINT, names=("a",))
    assert ends.resources[0].version == endpoints("a", 80).version
    peer.ack(clusters, names=("a",))
    peer.ack(ends, names=("a",))
    assert peer.stream.in_step(1)


def test_a_cluster_deleted_before_its_endpoints_were_asked_for_does_not_warm_for_ever():
    peer = Peer()
    peer.ask(LISTENER)
    peer.set(cluster("a"), endpoints("a", 1))
    (_,) = peer.ask(CLUSTER)
    assert peer.set(gone=(cluster("a"), endpoints("a", 1))) == []
    (response,) = peer.ask(ENDPOINT, subscribe=("a",))
    assert response.resources[0].version == empty_endpoints("a").version


def test_a_change_costs_its_own_size_whatever_else_there_is():
    peer = settled(*(one for index in range(300) for one in tree(f"t{index}", index)))
    (response,) = peer.set(endpoints("t7", 99))
    assert names(response) == ["t7"]
    assert len(peer.stream.pending) == 1
    peer.ack(response)
    assert not peer.stream.pending


def test_what_is_unanswered_is_bounded_however_much_changes_and_what_is_kept_by_what_is_pending():
    trees = [tree(f"t{index}", 8000 + index) for index in range(40)]
    peer = settled(*(one for resources in trees for one in resources))
    unanswered, kept = [], []
    for turn in range(1, 60):
        changed = [cluster(f"t{index}", turn) for index in range(40)]
        changed += [endpoints(f"t{index}", 80 + turn) for index in range(40)]
        changed += [http_listener(f"t{i}-vip", 8000 + i, f"t{i}-vip", turn) for i in range(40)]
        changed += [route(f"t{i}-vip", f"t{i}", tag=turn) for i in range(40)]
        unanswered += [*peer.set(*changed), *peer.after(1.0)]
        kept.append(len(peer.stream.pending))
    many = Counter(one.type_url for one in unanswered)
    assert many[CLUSTER] <= CLUSTERS_IN_FLIGHT
    assert (many[LISTENER], many[ROUTE]) == (1, 1)
    assert many[ENDPOINT] <= CLUSTERS_IN_FLIGHT + 1  # one behind each, and their own
    assert set(kept) == {4 * 40}
    while unanswered:
        unanswered += peer.ack(unanswered.pop(0))
    assert peer.stream.in_step(peer.revision)
    assert not peer.stream.pending


def test_listeners_may_hand_on_their_addresses_however_many_they_are():
    """A chain of waits is followed however long it is: Python's stack has 1,000 frames."""
    count = 2000
    peer = Peer()
    peer.set(*(tcp_listener(f"l{n}", 1000 + n, "static") for n in range(count)))
    for response in peer.ask(LISTENER):
        peer.ack(response)
    (moved,) = peer.set(*(tcp_listener(f"l{n}", 1001 + n, "static") for n in range(count)))
    assert names(moved) == [f"l{count - 1}"]  # its new address is free
    (next_one,) = peer.ack(moved)
    assert names(next_one) == [f"l{count - 2}"]


def test_the_answer_to_what_came_before_a_removal_opens_no_gate():
    """The cluster was there then; its removal is on its way, and it is to come back after that."""
    peer = Peer()
    for type_url in (LISTENER, CLUSTER):
        peer.ack(peer.ask(type_url)[0])
    (first,) = peer.set(cluster("a"))
    assert peer.set(gone=(cluster("a"),)) == []
    (removal,) = peer.after(0.3)
    assert removal.removed == ("a",)
    assert peer.set(cluster("a"), tcp_listener("l", 1, "a")) == []
    assert peer.ack(first) == []
    (again,) = peer.ack(removal)
    assert kinds([again]) == [("Cluster", ["a"], ())]
    assert kinds(peer.ack(again)) == [("Listene", ["l"], ())]
