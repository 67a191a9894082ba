"""What gRPC clients without a proxy are sent: names, closure, methods, weights, health."""

import dataclasses
from datetime import timedelta

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3 import health_check_pb2 as health
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as http,
)
from google.protobuf.any_pb2 import Any

from lbaas.model.enums import LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import PoolTree, Record, SessionPersistence
from tests.translate.trees import POOL, member, monitor, pool, tree, vip
from xds.cache.types import CLUSTER, ENDPOINT, LISTENER, Key
from xds.translate import grpc_bootstrap, translate_proxyless

VIP = "projects/acme/vips/front"
SOURCE_IP = SessionPersistence(type=SessionPersistenceType.SOURCE_IP)
DRAIN = timedelta(seconds=9)


def message(given: PoolTree, key: Key, kind, **more):
    made = kind()
    packed = Any.FromString(translate_proxyless(given, **more)[key].body)
    assert packed.Unpack(made)
    return made


def listener(given: PoolTree) -> Listener:
    return message(given, Key(LISTENER, VIP), Listener)


def manager(given: PoolTree) -> http.HttpConnectionManager:
    made = http.HttpConnectionManager()
    assert listener(given).api_listener.api_listener.Unpack(made)
    return made


def cluster(given: PoolTree) -> Cluster:
    return message(given, Key(CLUSTER, VIP), Cluster)


def endpoints(given: PoolTree, **more) -> ClusterLoadAssignment:
    return message(given, Key(ENDPOINT, POOL), ClusterLoadAssignment, **more)


def localities(given: PoolTree, **more) -> list[tuple[int, str, int, int]]:
    """Priority, name, weight, and how many endpoints of each."""
    return [
        (
            each.priority,
            each.locality.sub_zone,
            each.load_balancing_weight.value,
            len(each.lb_endpoints),
        )
        for each in endpoints(given, **more).endpoints
    ]


def statuses(given: PoolTree, **more) -> list[int]:
    return [
        each.health_status
        for locality in endpoints(given, **more).endpoints
        for each in locality.lb_endpoints
    ]


def test_the_set_is_closed_under_reference() -> None:
    vips = (vip(), vip("other", session_persistence=SOURCE_IP), vip("off", admin_state_up=False))
    made = translate_proxyless(tree(vips=vips, health_monitors=(monitor(),)))
    other = "projects/acme/vips/other"
    assert made.keys() == {
        *(Key(kind, name) for name in (VIP, other) for kind in (LISTENER, CLUSTER)),
        Key(ENDPOINT, POOL),
    }
    assert {key for each in made.values() for key in each.references} <= made.keys()
    assert Key(CLUSTER, VIP) in made[Key(LISTENER, VIP)].references
    assert Key(ENDPOINT, POOL) in made[Key(CLUSTER, VIP)].references


def test_without_a_vip_that_is_on_there_is_nothing() -> None:
    assert translate_proxyless(tree(vips=())) == {}
    assert translate_proxyless(tree(vips=(vip(admin_state_up=False),))) == {}


def test_a_listener_is_of_the_api_alone_with_its_route_and_the_router_last() -> None:
    made = listener(tree())
    assert (made.HasField("address"), len(made.filter_chains)) == (False, 0)
    assert [each.name for each in manager(tree()).http_filters][-1] == "envoy.filters.http.router"
    (host,) = manager(tree()).route_config.virtual_hosts
    (route,) = host.routes
    assert (list(host.domains), route.match.prefix, route.route.cluster) == (["*"], "/", VIP)
    (hashed,) = route.route.hash_policy
    assert hashed.filter_state.key == "io.grpc.channel_id"


@pytest.mark.parametrize(
    "changed",
    [
        {"protocol": Protocol.TCP},
        {"protocol": Protocol.HTTPS},
        {"port": 9, "address": ""},
        {"address_in_use_by": "projects/acme/vips/other"},
        {"connection_limit": 1},
        {"session_persistence": SOURCE_IP},
        {"session_persistence": SessionPersistence(type=SessionPersistenceType.HTTP_COOKIE)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_the_vip_its_listener_is_the_same(changed) -> None:
    key = Key(LISTENER, VIP)
    plain = translate_proxyless(tree())[key]
    assert translate_proxyless(tree(vips=(vip(**changed),)))[key].version == plain.version


@pytest.mark.parametrize(
    ("method", "kept", "policy"),
    [
        (LbMethod.ROUND_ROBIN, None, Cluster.ROUND_ROBIN),
        (LbMethod.LEAST_CONNECTIONS, None, Cluster.ROUND_ROBIN),
        (LbMethod.SOURCE_IP, None, Cluster.RING_HASH),
        (LbMethod.ROUND_ROBIN, SessionPersistenceType.SOURCE_IP, Cluster.RING_HASH),
        (LbMethod.ROUND_ROBIN, SessionPersistenceType.HTTP_COOKIE, Cluster.ROUND_ROBIN),
        (LbMethod.SOURCE_IP, SessionPersistenceType.APP_COOKIE, Cluster.RING_HASH),
    ],
)
def test_the_cluster_has_the_method_that_grpc_has_for_it(method, kept, policy) -> None:
    persistence = None if kept is None else SessionPersistence(type=kept, cookie_name="S")
    made = cluster(tree(pool=pool(lb_method=method), vips=(vip(session_persistence=persistence),)))
    assert made.lb_policy == policy
    assert made.type == Cluster.EDS
    assert made.eds_cluster_config.service_name == POOL
    assert made.eds_cluster_config.eds_config.HasField("ads")
    # 1,024 at a time is gRPC's own limit.
    assert made.circuit_breakers.thresholds[0].max_requests.value == 2**32 - 1


def test_members_of_like_weight_share_a_locality_and_others_have_their_own() -> None:
    alike = tree(members=(member(1, weight=7), member(2, weight=7), member(3, weight=0)))
    assert localities(alike) == [(0, "all", 1, 3)]
    unlike = tree(members=(member(1, weight=7), member(2), member(3, weight=0)))
    assert localities(unlike) == [(0, "m1", 7, 1), (0, "m2", 1, 1), (0, "m3", 1, 1)]
    # With a hash the weight of a locality and of an endpoint would be multiplied.
    (first, *_) = endpoints(unlike).endpoints
    assert not first.lb_endpoints[0].HasField("load_balancing_weight")


def test_backups_are_the_second_priority_or_the_first_if_there_are_no_others() -> None:
    backups = (member(3, backup=True), member(4, backup=True, weight=2))
    both = tree(members=(member(1), member(2), *backups))
    assert localities(both) == [(0, "all", 1, 2), (1, "m3", 1, 1), (1, "m4", 2, 1)]
    assert localities(tree(members=backups)) == [(0, "m3", 1, 1), (0, "m4", 2, 1)]


def test_who_drains_or_is_down_gets_no_new_calls() -> None:
    members = (
        member(1),
        member(2, weight=0),
        member(3, admin_state_up=False, drain_timeout=DRAIN),
        dataclasses.replace(member(4, drain_timeout=DRAIN), record=Record(deleted_rev=5)),
        member(5),
        member(6),
        member(7, admin_state_up=False),  # nothing to wait for: it is out
    )
    given = tree(members=members, unreachable=frozenset({f"{POOL}/members/m5"}))
    drains = [health.DRAINING] * 3
    found = [health.UNKNOWN, *drains, health.UNHEALTHY, health.UNKNOWN]
    assert statuses(given) == found
    down = {f"{POOL}/members/m{number}" for number in (3, 6)}
    found[2] = found[5] = health.UNHEALTHY
    assert statuses(given, down=down) == found


@pytest.mark.parametrize("given", [tree(members=()), tree(pool=pool(admin_state_up=False))])
def test_a_pool_without_members_or_switched_off_has_empty_endpoints(given) -> None:
    assert localities(given) == []
    assert endpoints(given).cluster_name == POOL


def test_an_address_of_ipv6_is_an_address() -> None:
    made = endpoints(tree(members=(member(1, address="2001:db8::1"),)))
    address = made.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == ("2001:db8::1", 8080)


def test_the_bootstrap_names_the_control_planes_in_order() -> None:
    addresses = [("10.0.0.5", 18000), ("2001:db8::5", 1), "/run/tidegate/xds.sock"]
    made = grpc_bootstrap(fleet="fleets/edge", node="shop", xds_address=addresses)
    assert made["node"] == {"id": "shop", "cluster": "edge"}
    servers = made["xds_servers"]
    assert [each["server_uri"] for each in servers] == [
        "10.0.0.5:18000",
        "[2001:db8::5]:1",
        "unix:/run/tidegate/xds.sock",
    ]
    assert {each["channel_creds"][0]["type"] for each in servers} == {"insecure"}
