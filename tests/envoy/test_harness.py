"""The harness itself: a real Envoy in front of members, with failures counted exactly."""

from google.protobuf import json_format

from tests.harness import resources
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import Connection, fetch
from tests.harness.load import Load
from tests.harness.members import Echo, Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until


def static_bootstrap(port: int, members: list[Member]) -> dict:
    listener = resources.http_listener("edge", port)
    manager = resources.route("edge", "pool")
    cluster = resources.cluster("pool", monitor={})
    cluster.ClearField("eds_cluster_config")
    cluster.type = 0
    cluster.load_assignment.CopyFrom(resources.endpoints("pool", [m.address for m in members]))
    content = json_format.MessageToDict(listener, preserving_proto_field_name=True)
    http = content["filter_chains"][0]["filters"][0]["typed_config"]
    del http["rds"]
    http["route_config"] = json_format.MessageToDict(manager, preserving_proto_field_name=True)
    return {
        "static_resources": {
            "listeners": [content],
            "clusters": [json_format.MessageToDict(cluster, preserving_proto_field_name=True)],
        }
    }


async def test_a_member_that_fails_is_found_and_no_request_is_lost_after_that():
    port = free_port()
    async with (
        await Member.start("a") as a,
        await Member.start("b") as b,
        EnvoyProcess(static_bootstrap(port, [a, b])) as envoy,
    ):
        await envoy.wait_ready()
        assert await envoy.listeners() == {"edge": f"127.0.0.1:{port}"}
        load = Load(f"127.0.0.1:{port}")
        async with load:
            await load.more(100)
        assert load.failed == 0
        assert set(load.served) == {"a", "b"}
        assert load.total == a.requests + b.requests
        await a.become(Mode.CLOSED)

        async def down() -> bool:
            return bool((await envoy.members("pool"))[a.address].get("failed_active_health_check"))

        await until(down, within=5, what="member a is down")
        after = Load(f"127.0.0.1:{port}")
        async with after:
            await after.more(50)
        assert after.failed == 0
        assert set(after.served) == {"b"}
        await b.become(Mode.FAILING)
        assert (await fetch(f"127.0.0.1:{port}")).status == 503
        await envoy.kill()
        broken = Load(f"127.0.0.1:{port}", keep_alive=1, per_request=1)
        async with broken:
            await broken.more(2)
        assert broken.failed == broken.total


async def test_an_echo_member_names_itself():
    async with (
        await Echo.start("echo") as echo,
        await Connection.open(echo.address) as connection,
    ):
        assert await connection._reader.readline() == b"echo\n"
