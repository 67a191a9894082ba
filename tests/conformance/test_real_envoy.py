"""Rules 24 and 46: what Envoy itself does, and what the server makes of it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import trustme
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from tests.conformance.conftest import Heard
from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, SDS
from tests.harness.bootstrap import ads_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import fetch
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until
from xds.cache import Key, SnapshotCache
from xds.server import Server

CHECKED = {"timeout": "3s", "interval": "10s", "no_traffic_interval": "10s"}


@dataclass
class Followed:
    """An Envoy that follows the server."""

    envoy: EnvoyProcess
    cache: SnapshotCache
    heard: Heard

    async def confirmed(self, *keys: Key, within: float = 10.0) -> None:
        """Waits until the node holds these as published."""
        (stream,) = self.cache.streams("fleet")
        snapshot = self.cache.snapshot("fleet")
        assert snapshot is not None

        async def holds() -> bool:
            return all(stream.confirmed(key, snapshot.revision) for key in keys)

        await until(holds, within=within, what=f"{keys} confirmed")

    def waiting(self, key: Key) -> str:
        (stream,) = self.cache.streams("fleet")
        return stream.waiting(key, time.monotonic())


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
async def followed(
    request: pytest.FixtureRequest, cache: SnapshotCache, server: Server, heard: Heard
) -> AsyncIterator[Followed]:
    async with EnvoyProcess(ads_bootstrap(server.port, delta=request.param)) as envoy:
        await envoy.wait_ready(within=10)
        yield Followed(envoy, cache, heard)


async def serves(port: int, name: str) -> None:
    async def answers() -> bool:
        return (await fetch(f"127.0.0.1:{port}")).text == name

    await until(answers, within=10, what=f"{name} is served on port {port}")


async def test_rule_24_a_held_cds_answer_is_pending_and_delays_no_other(followed):
    """Envoy withholds the answers to all clusters while one warms on a member that is mute."""
    cache, port = followed.cache, free_port()
    async with await Member.start("a") as a, await Member.start("m", mode=Mode.MUTE) as mute:
        slow = [resources.cluster("slow"), resources.endpoints("slow", [mute.address])]
        # A VIP leads to it: it cannot be taken for unused and go out without members.
        front = [resources.http_listener("front", free_port()), resources.route("front", "slow")]
        cache.publish("fleet", [*slow, *front])
        await followed.confirmed(Key(CDS, "slow"), Key(LDS, "front"))
        slow[0] = resources.cluster("slow", monitor=CHECKED)
        cache.publish("fleet", [*slow, *front])

        async def warms() -> bool:
            return await followed.envoy.stat("cluster_manager.warming_clusters") == 1

        await until(warms, within=10, what="the cluster warms", every=0.005)
        # Not a word of Envoy's: the change is pending, and says on what it waits.
        assert "unanswered" in followed.waiting(Key(CDS, "slow"))
        cache.publish("fleet", [*slow, *front, *resources.vip("next", port, [a.address])])
        await serves(port, "a")  # at the latest when the check's timeout ends the warming
        await followed.confirmed(Key(CDS, "slow"), Key(EDS, "next"), Key(LDS, "next"))
    assert not followed.heard.rejections


async def test_rule_46_routes_that_are_known_are_not_asked_for_again(followed):
    """A changed listener warms with the RouteConfiguration that Envoy holds."""
    cache, port = followed.cache, free_port()
    async with await Member.start("a") as a:
        tree = resources.vip("web", port, [a.address])
        cache.publish("fleet", tree)
        await serves(port, "a")
        await followed.confirmed(Key(LDS, "web"))
        updates = await followed.envoy.stats("http[.]web[.]rds[.]web[.]update_attempt")
        tree[2].per_connection_buffer_limit_bytes.value = 4096
        cache.publish("fleet", tree)
        await followed.confirmed(Key(LDS, "web"))

        async def active() -> bool:
            found = await followed.envoy.config_dump("dynamic_listeners")
            (entry,) = found["configs"]
            listener = entry["active_state"]["listener"]
            return listener.get("per_connection_buffer_limit_bytes") == 4096

        await until(active, within=10, what="the changed listener is active")
        await serves(port, "a")
        assert updates == await followed.envoy.stats("http[.]web[.]rds[.]web[.]update_attempt")


def certificate_secret(issued: trustme.LeafCert) -> Secret:
    secret = Secret(name="cert")
    secret.tls_certificate.private_key.inline_bytes = issued.private_key_pem.bytes()
    secret.tls_certificate.certificate_chain.inline_bytes = issued.cert_chain_pems[0].bytes()
    return secret


def with_secret(listener: Listener, name: str) -> Listener:
    """Makes a listener speak TLS with a certificate that comes over SDS."""
    context = DownstreamTlsContext()
    wanted = context.common_tls_context.tls_certificate_sds_secret_configs.add(name=name)
    wanted.sds_config.ads.SetInParent()
    wanted.sds_config.resource_api_version = 2  # V3
    socket = listener.filter_chains[0].transport_socket
    socket.name = "envoy.transport_sockets.tls"
    socket.typed_config.Pack(context)
    return listener


async def test_rule_46_a_listener_whose_secret_is_missing_serves_nobody_until_it_comes(followed):
    """In state of the world it warms. In delta the answer that there is none (rule 39) ends that:
    Envoy 1.40 listens, and resets every connection until the secret comes."""
    cache, port, authority = followed.cache, free_port(), trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with await Member.start("a") as a:
        tree = resources.vip("web", port, [a.address])
        with_secret(tree[2], "cert")
        cache.publish("fleet", tree)

        async def asked_for() -> bool:
            return await followed.envoy.stat("sds.cert.update_attempt") > 0

        async def speaks_tls() -> bool:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=trusting, server_hostname="web.example"
            )
            writer.transport.abort()
            return True

        await until(asked_for, within=10, what="Envoy asks for the secret")
        (stream,) = cache.streams("fleet")
        if not stream.delta:
            assert await followed.envoy.stat("listener_manager.total_listeners_warming") == 1
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await speaks_tls()
        cache.publish("fleet", [*tree, certificate_secret(authority.issue_cert("web.example"))])
        await until(speaks_tls, within=10, what="the listener speaks TLS")
        await followed.confirmed(Key(SDS, "cert"), Key(LDS, "web"))
    assert not followed.heard.rejections
