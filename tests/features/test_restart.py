"""The control plane may die: under load, with a rejected object, at any moment."""

from typing import Any

from lbaas.v1 import vip_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.test_isolation import UNBINDABLE
from tests.features.world import REJECTED, STATUS, client_of, node_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.load import Load
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until


async def statuses(client: Any, project: str) -> dict[str, tuple[int, str, str]]:
    """Every VIP's status, reason and text."""
    answer = await client.vips.ListVips(
        vip_service_pb2.ListVipsRequest(parent=f"projects/{project}")
    )
    return {
        vip.name: (vip.provisioning_status, vip.status_detail.reason, vip.status_detail.message)
        for vip in answer.vips
    }


async def received(envoy: EnvoyProcess) -> dict[str, int]:
    """How many updates and rejections an Envoy has counted, per type of resource."""
    lines = await envoy.admin("/stats?filter=(cds|lds)\\.(update_success|update_rejected)")
    counts = dict(line.split(": ") for line in lines.text.strip().splitlines())
    changes = await envoy.admin(
        "/stats?filter=(cluster_added|cluster_modified|listener_added|listener_modified"
        "|config_reload$|update_no_rebuild|version_text|rds.*config_reload)"
    )
    for line in changes.text.strip().splitlines():
        name, _, value = line.partition(": ")
        if value.isdigit():
            counts[name] = value
    return {name: int(value) for name, value in counts.items() if "update_success" not in name}


async def test_killed_under_load_it_loses_no_request_and_sends_nothing_again(tmp_path):
    async with ControlPlane(tmp_path) as plane:
        bootstrap = node_bootstrap("edge", "node-0", plane.xds_port)
        async with (
            client_of(plane.api_port) as client,
            EnvoyProcess(bootstrap) as envoy,
            await Member.start("one") as one,
            await Member.start("two") as two,
        ):
            await client.fleet("edge")
            pool = await client.pool("acme", "web")
            for server in (one, two):
                await client.member(pool.name, server.name, server.address)
            port = free_port()
            vip = await client.vip("acme", "front", pool=pool.name, port=port)
            bad = await client.vip(
                "acme", "bad", pool=pool.name, port=free_port(), address=UNBINDABLE
            )
            await client.applied(vip.name)
            assert (await client.wait(bad.name)).outcome == REJECTED
            before = await statuses(client, "acme")
            assert {status for status, *_ in before.values()} == {STATUS.ACTIVE, STATUS.ERROR}
            counted = await received(envoy)

            async with Load(f"127.0.0.1:{port}") as load:
                await load.more(300)
                await plane.kill()
                await load.more(300)
                await plane.start()

                async def connected() -> bool:
                    text = (await envoy.admin("/stats?filter=control_plane.connected_state")).text
                    return text.strip().endswith("1")

                await until(connected, within=15, what="Envoy is connected again")
                await load.more(300)
            assert load.failed == 0, load.failures
            async with client_of(plane.api_port) as again:
                await again.applied(vip.name)
                # A change goes through the new stream, so all that would be sent has been sent.
                new = await again.vip("acme", "next", pool=pool.name, port=free_port())
                await again.applied(new.name)
                after = await statuses(again, "acme")
            assert {name: after[name] for name in before} == before
            grown = {
                name: value - counted.get(name, 0)
                for name, value in (await received(envoy)).items()
                if value != counted.get(name, 0)
            }
            assert {name: n for name, n in grown.items() if "modified" in name} == {}
            assert grown.get("listener_manager.lds.update_rejected", 0) == 0, grown
            assert grown.get("listener_manager.listener_added") == 1, grown
        assert await plane.stop() == 0
        # What the second process sent in its whole life: the new VIP's listener and route.
        assert plane.sent_in_its_life()["resources"] == 2
