"""What grpcio's xDS client does (1.85, measured), done by a client of our own on a bare stream.

It speaks state of the world over ADS, asks for everything by name, goes from the listener to its
routes, their clusters and their endpoints, sends its node once, and answers every response.
"""

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as http,
)

from tests.conformance.node import Node, Wire
from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, RDS

MEMBER = "127.0.0.1:9001"


def api_listener(name: str, route: str) -> Listener:
    """A listener for gRPC clients: no address, the connection manager as its `api_listener`."""
    chain = resources.http_listener(name, 1, route_name=route).filter_chains[0]
    listener = Listener(name=name)
    manager = http.HttpConnectionManager()
    assert chain.filters[0].typed_config.Unpack(manager)
    listener.api_listener.api_listener.Pack(manager)
    return listener


def tree(port: int) -> list:
    return [
        api_listener("web.example", "web-routes"),
        resources.route("web-routes", "web"),
        resources.cluster("web"),
        resources.endpoints("web", [f"127.0.0.1:{port}"]),
        *resources.vip("other", 10_000, [MEMBER]),
    ]


def routes_of(listener: Listener) -> str:
    manager = http.HttpConnectionManager()
    assert listener.api_listener.api_listener.Unpack(manager)
    return manager.rds.route_config_name


def cluster_of(routes: RouteConfiguration) -> str:
    return routes.virtual_hosts[0].routes[0].route.cluster


def ports_of(assignment) -> list[int]:
    return [
        entry.endpoint.address.socket_address.port_value
        for group in assignment.endpoints
        for entry in group.lb_endpoints
    ]


async def resolve(node: Node, name: str) -> list[int]:
    """Follows a name to its members' ports."""
    listener = await node.first(LDS, name)
    assert listener.names == [name]
    routes = await node.first(RDS, routes_of(listener.messages[name]))
    cluster = cluster_of(next(iter(routes.messages.values())))
    assert (await node.first(CDS, cluster)).names == [cluster]
    await node.ask(EDS, cluster)
    while not (ports := ports_of((await node.take(EDS)).messages[cluster])):
        pass
    return ports


@pytest.fixture
def wire() -> Wire:
    return Wire(delta=False, ads=True)


async def test_a_name_is_resolved_step_by_step_and_followed(cache, heard, node):
    cache.publish("fleet", tree(9001))
    assert await resolve(node, "web.example") == [9001]
    await node.silent()
    cache.publish("fleet", tree(9002))
    assert ports_of((await node.take(EDS)).messages["web"]) == [9002]
    await node.silent()
    await heard.confirms(EDS, "web")
    assert not heard.has(LDS, "other")


async def test_a_listener_that_goes_is_told_by_a_set_without_it(cache, node):
    cache.publish("fleet", tree(9001))
    await resolve(node, "web.example")
    cache.publish("fleet", tree(9001)[1:])
    assert (await node.take(LDS)).names == []


async def test_a_listener_that_it_refuses_is_not_sent_again(cache, heard, node):
    wrong = Listener(name="web.example")
    cache.publish("fleet", [wrong])
    await node.ask(LDS, "web.example")
    words = "web.example: Listener has neither address nor ApiListener"
    await node.nack(await node.receive(LDS), words)
    await heard.refuses("web.example")
    assert heard.rejections[0].message == words
    await node.silent()
    cache.publish("fleet", tree(9001))
    assert (await node.take(LDS)).names == ["web.example"]


async def test_a_name_that_comes_later_is_sent(cache, node):
    cache.publish("fleet", [])
    assert (await node.first(LDS, "web.example")).names == []
    cache.publish("fleet", tree(9001))
    assert (await node.take(LDS)).names == ["web.example"]
