"""What is known of each name of one client: as its answers come in."""

from tests.cache.messages import cluster, endpoints
from tests.cache.peer import FLEET, Peer, tree
from xds.cache import CLUSTER, ENDPOINT, LISTENER, Key, RejectedVersion, empty_endpoints
from xds.cache.client_status import Standing

WEB = Key(CLUSTER, "web")


def standings(peer: Peer) -> dict[str, Standing]:
    found = {}
    for status in peer.stream.statuses(peer.now):
        found[f"{status.key.type_url.rpartition('.')[2]} {status.key.name}"] = status.standing
    return found


def test_nothing_is_told_of_a_type_that_is_not_asked_for():
    peer = Peer()
    peer.set(cluster("web"), endpoints("web"))
    assert list(peer.stream.statuses(peer.now)) == []
    peer.ask(CLUSTER)
    assert list(standings(peer)) == ["Cluster web"]


def test_sent_then_synced_then_not_sent_behind_an_answer_that_is_due():
    peer = Peer()
    peer.set(cluster("web"), endpoints("web"))
    first = peer.ask(CLUSTER)
    peer.now += 2
    status = peer.stream.status(WEB, peer.now)
    assert status.standing is Standing.SENT
    assert status.holds[0] is None
    assert status.held is None
    assert status.sent is status.wanted
    assert status.sent_at == peer.now - 2
    assert status.waiting == "Cluster web sent, unanswered for 2.0 s"
    peer.ack(first[0])
    status = peer.stream.status(WEB, peer.now)
    assert status.standing is Standing.SYNCED
    assert status.holds == (cluster("web"),) or status.held.version == cluster("web").version
    assert (status.sent, status.sent_at, status.waiting) == (None, None, "")

    peer.set(cluster("web", 1))  # in flight
    peer.set(cluster("web", 2))  # the newest, not sent before the window lets it
    status = peer.stream.status(WEB, peer.now)
    assert status.standing is Standing.NOT_SENT
    assert status.held.version == cluster("web").version
    assert status.sent.version == cluster("web", 1).version
    assert status.wanted.version == cluster("web", 2).version
    assert "waits for the node's answer to what was sent before, unanswered" in status.waiting


def test_endpoints_that_go_empty_first_are_not_sent_yet():
    peer = Peer()
    peer.set(cluster("web"), endpoints("web", 80))
    peer.ask(CLUSTER)
    peer.ask(ENDPOINT, subscribe=("web",))
    status = peer.stream.status(Key(ENDPOINT, "web"), peer.now)
    assert status.standing is Standing.NOT_SENT
    assert status.sent.version == empty_endpoints("web").version
    assert status.waiting.startswith("ClusterLoadAssignment web sent without members first")


def test_a_refused_version_and_what_is_held_on_with_its_words():
    peer = Peer()
    peer.set(cluster("web"), endpoints("web"))
    peer.ack(peer.ask(CLUSTER)[0])
    (bad,) = peer.set(cluster("web", 1))
    peer.nack(bad, "cluster web: no such thing")
    status = peer.stream.status(WEB, peer.now)
    assert status.standing is Standing.REJECTED
    assert status.held.version == cluster("web").version
    assert status.rejection.version == cluster("web", 1).version
    assert status.rejection.message == "cluster web: no such thing"
    assert status.waiting == "Cluster web rejected: cluster web: no such thing"
    assert (status.sent, status.sent_at) == (None, None)  # it has answered

    peer.now += 5
    (better,) = peer.set(cluster("web", 2))
    status = peer.stream.status(WEB, peer.now)
    assert status.standing is Standing.SENT
    assert status.rejection is not None  # until it has accepted something
    peer.ack(better)
    status = peer.stream.status(WEB, peer.now)
    assert status.standing is Standing.SYNCED
    assert status.rejection is None


def test_what_waits_says_for_what():
    peer = Peer()
    peer.set(*tree("web"))
    for type_url in (CLUSTER, LISTENER):
        peer.ask(type_url)
    status = peer.stream.status(Key(LISTENER, "web-vip"), peer.now)
    assert status.standing is Standing.NOT_SENT
    assert "waits for Cluster web (Cluster web sent, unanswered" in status.waiting
    assert status.sent_at is None


def test_names_asked_for_that_nobody_wants_and_names_to_be_removed_are_told():
    peer = Peer()
    peer.set(cluster("web"), endpoints("web"))
    peer.ack(peer.ask(CLUSTER)[0])
    for response in peer.ask(ENDPOINT, subscribe=("web", "nobody")):
        peer.ack(response)
    assert standings(peer) == {
        "Cluster web": Standing.SYNCED,
        "ClusterLoadAssignment nobody": Standing.SYNCED,
        "ClusterLoadAssignment web": Standing.SYNCED,
    }
    nobody = peer.stream.status(Key(ENDPOINT, "nobody"), peer.now)
    assert (nobody.wanted, nobody.holds) == (None, (None,))
    peer.set(gone=(cluster("web"),))
    status = peer.stream.status(WEB, peer.now)
    assert status.wanted is None
    assert status.held is not None
    assert status.standing is Standing.SENT
    assert status.sent is None
    assert status.sent_at is not None


def test_what_was_refused_before_this_process_is_known_with_no_time():
    peer = Peer()
    peer.set(cluster("web"), endpoints("web"))
    refused = RejectedVersion(WEB, cluster("web").version, "no")
    peer.cache.restore_rejection(FLEET, "n1", refused)
    peer.ask(CLUSTER)
    status = peer.stream.status(WEB, peer.now)
    assert status.standing is Standing.REJECTED
    assert status.rejection.message == "no"


def test_names_may_come_and_go_while_they_are_told():
    peer = Peer()
    peer.set(*(one for n in range(20) for one in (cluster(f"c{n}"), endpoints(f"c{n}"))))
    peer.ask(CLUSTER)
    found = []
    for status in peer.stream.statuses(peer.now):
        found.append(status.key.name)
        if len(found) == 3:
            peer.set(cluster("new"), gone=(cluster("c7"), endpoints("c7")))
    assert sorted(found) == sorted(f"c{n}" for n in range(20))
    assert peer.cache.fleets == [FLEET]
