"""An agent beside a real Envoy, and what the commands tell of real members."""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.live import Live, agent_of, brings_its_node
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tidegate.demo_processes import ControlPlane

LINE = "tidegate agent --fleet edge --node e1 --work-folder e1 --drain-time 0s --concurrency 1"
SOON = 20.0


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A control plane with one node, run by an agent, in a folder short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="agent-") as name, asyncio.Runner() as runner:
        plane = runner.run(ControlPlane.started(Path(name)))
        try:
            live = Live(plane.api, plane.api, plane.xds)
            live.must("tidegate fleet create edge --vip-range 127.0.0.0/8", project="p")
            with agent_of(live, LINE, Path(name)):
                assert brings_its_node(live, within=SOON)
                yield live
        finally:
            runner.run(plane.child.stop())


def until(live: Live, line: str, words: str) -> str:
    """Types a command until it says something."""
    deadline = time.monotonic() + SOON
    out = ""
    while time.monotonic() < deadline:
        out = live.must(line, project="shop").out
        if words in out:
            return out
        time.sleep(0.05)
    raise AssertionError(f"{line!r} never said {words!r}; last:\n{out}")


async def test_from_healthy_to_drained(live: Live, tmp_path: Path) -> None:
    async def typed(line: str) -> str:
        ran = await asyncio.to_thread(live.must, line, project="shop")
        return ran.out + ran.err

    port = free_port()
    async with await Member.start("a") as a, await Member.start("b") as b:
        addresses = {each.name: each.address.rsplit(":", 1) for each in (a, b)}
        tree = {
            "pool": {
                "name": "web",
                "protocol": "HTTP",
                "lb_method": "ROUND_ROBIN",
                "health_monitors": ["check"],
            },
            "members": [
                {"name": name, "address": host, "port": int(number), "drain_timeout": "1s"}
                for name, (host, number) in addresses.items()
            ],
            "health_monitors": [
                {
                    "name": "check",
                    "type": "TCP",
                    "delay": "0.5s",
                    "timeout": "0.4s",
                    "max_retries": 1,
                }
            ],
            "vips": [{"name": "web", "protocol": "HTTP", "address": "127.0.0.1", "port": port}],
        }
        (tmp_path / "tree.yaml").write_text(json.dumps(tree))
        said = await typed(f"tidegate apply -f {tmp_path}/tree.yaml --wait=healthy")
        assert "healthy and applied 1/1" in said
        assert ["vip/web", "ONLINE", "1/1"] in [row.split() for row in said.splitlines()]
        line = "tidegate status -c NAME,STATUS,MEMBERS,CONNS --no-header"
        assert (await typed(line)).split()[:4] == ["vip/web", "ONLINE", "2/2", "0"]

        await b.become(Mode.CLOSED)
        down = await asyncio.to_thread(until, live, "tidegate why web", "connection refused")
        assert "vip/web is DEGRADED since " in down
        assert ": 1 of 2 members is OFFLINE: b; " in down
        assert f"member {b.address} (web/b)  OFFLINE since " in down
        assert "so says the only node" in down
        assert "monitor check: a connection every 0.500s -> connection refused" in down

        drained = await typed("tidegate member drain web/b")
        assert "drains, 1 s left" in drained
        assert "member/web/b drained in " in drained
        said = await asyncio.to_thread(until, live, "tidegate status", "ONLINE")
        assert "1/1" in said
        assert "requests" not in await typed("tidegate pool stats web -o wide")


def test_a_drained_member_is_told_with_its_way_back(live: Live) -> None:
    told = live.must("tidegate why web/b", project="shop").out
    assert "next: to have it back: tidegate member update web/b --admin-up" in told
