"""Every example of every help text is run, on a control plane with a real Envoy."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import typer

from tests.cli.conftest import run_words
from tests.cli.live import Live, agent_of, brings_its_node
from tests.features.world import node_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.waiting import until
from tidegate.cli.failure import Exit
from tidegate.cli.main import program
from tidegate.demo_processes import ControlPlane

TREE = {
    "pool": {
        "name": "web",
        "protocol": "HTTP",
        "lb_method": "ROUND_ROBIN",
        "health_monitors": ["http-check"],
    },
    "members": [{"name": "m1", "address": "10.0.0.1", "port": 8080}],
    "health_monitors": [
        {"name": name, "type": kind, "delay": "5s", "timeout": "2s", "max_retries": 3}
        for name, kind in (("http-check", "HTTP"), ("tcp-check", "TCP"))
    ],
    "vips": [{"name": "web", "protocol": "HTTP", "port": 8080}],
}
OPERATORS = {"fleet", "service-type"}


def examples() -> list[str]:
    """Gives every line of every help text's example."""
    found: list[str] = []

    def collect(command: object) -> None:
        for each in getattr(command, "commands", {}).values():
            collect(each)
        epilog = getattr(command, "epilog", None) or ""
        found.extend(line.strip() for line in epilog.splitlines() if "tidegate " in line)

    collect(typer.main.get_command(program("*")))
    return found


def verbs_without_example() -> list[str]:
    def below(command: object, path: str) -> Iterator[str]:
        children = getattr(command, "commands", {})
        for name, each in children.items():
            yield from below(each, f"{path} {name}")
        if not children and "Example:" not in (getattr(command, "epilog", None) or ""):
            yield path

    return list(below(typer.main.get_command(program("*")), "tidegate"))


def test_every_command_has_an_example():
    assert verbs_without_example() == []


async def joined(live: Live, envoys: AsyncExitStack, envoy: EnvoyProcess) -> None:
    """Starts an Envoy that has no agent and waits until it counts."""
    await envoys.enter_async_context(envoy)

    async def synced() -> bool:
        return "SYNCED" in live.must("tidegate fleet status edge", project="p").out

    await until(synced, within=20, what="the node is in step")


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("planes")
    (folder / "operators").mkdir()
    with asyncio.Runner() as runner:
        children = []
        envoys = AsyncExitStack()
        try:
            tenants = runner.run(ControlPlane.started(folder))
            children.append(tenants.child)
            operators = runner.run(ControlPlane.started(folder / "operators"))
            children.append(operators.child)
            planes = Live(tenants.api, operators.api, operators.xds)
            ranges = "--vip-range 127.77.0.0/16 --vip-range 2001:db8::/64"
            planes.must(f"tidegate fleet create edge {ranges}", project="p")
            port = int(tenants.xds.rpartition(":")[2])
            envoy = EnvoyProcess(node_bootstrap("edge", "e1", port))
            runner.run(joined(planes, envoys, envoy))
            yield planes
        finally:
            runner.run(envoys.aclose())
            for child in reversed(children):
                runner.run(child.stop())


@pytest.fixture
def project(live: Live) -> str:
    live.count += 1
    return f"example-{live.count}"


def seed(live: Live, project: str, words: list[str], folder: Path) -> None:
    """Makes what an example takes for granted, and not what it makes itself."""
    tree = folder / "tree.yaml"
    tree.write_text(json.dumps(TREE))
    if words[1:3] == ["pool", "create"] or words[1] == "apply":
        return
    live.must(f"tidegate apply -f {tree} --wait=applied", project=project)
    live.must("tidegate pool create blue --protocol http", project=project)
    live.must("tidegate pool create green --protocol http", project=project)
    if words[2:3] == ["create"]:
        noun, name = words[1], words[3]
        if noun == "monitor":
            live.must("tidegate pool update web --monitor none --wait=applied", project=project)
        live.run(f"tidegate {noun} delete {name} --wait=applied", project=project)
    if words[1:3] == ["monitor", "delete"]:
        live.must("tidegate pool disassociate web http-check --wait=applied", project=project)
    if words[1:3] == ["pool", "delete"] and "--tree" not in words:
        live.must("tidegate vip delete web --wait=applied", project=project)


def seed_operators(live: Live, words: list[str]) -> None:
    for noun, name in (("fleet", "edge"), ("fleet", "beside"), ("service-type", "gold")):
        live.run(f"tidegate {noun} delete {name}", project="p", server=live.operators)
        if words[2] != "create":
            live.must(f"tidegate {noun} create {name}", project="p", server=live.operators)


def tenants_examples() -> list[str]:
    apart = OPERATORS | {"serve", "demo", "agent"}
    return [line for line in examples() if line.split()[1] not in apart]


@pytest.mark.parametrize("line", tenants_examples())
def test_an_example_works(live, project, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.partition(" > ")[0])
    seed(live, project, words, tmp_path)
    ran = live.run(shlex.join(words), project=project)
    if words[2:3] == ["stats"]:
        assert ran.code == Exit.CONFLICT
        assert "NO_AGENT" in ran.err
    else:
        assert ran.code == 0, ran.err
        assert ran.out or "delete" in line or "watch" in line or "status" in line


@pytest.mark.parametrize("line", [line for line in examples() if line.split()[1] in OPERATORS])
def test_an_operators_example_works(live, line):
    words = shlex.split(line)
    if "edge/e1" in words:  # the tenants' fleet has that node
        ran = live.run(line, project="p")
    else:
        seed_operators(live, words)
        ran = live.run(line, project="p", server=live.operators)
    if words[2] == "allow-removals":
        assert ran.code == Exit.CONFLICT
        assert "no removals are withheld" in ran.err
    else:
        assert ran.code == 0, ran.err


@pytest.mark.parametrize("line", [line for line in examples() if line.split()[1] == "serve"])
def test_serve_says_where_it_listens_and_stops_when_told(line, tmp_path):
    env = {"TIDEGATE_API_ADDRESS": "127.0.0.1:0", "TIDEGATE_XDS_ADDRESS": "127.0.0.1:0"}
    with subprocess.Popen(
        [sys.executable, "-m", *shlex.split(line)],
        cwd=tmp_path,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline().startswith("api 127.0.0.1:")
            assert process.stdout.readline().startswith("xds 127.0.0.1:")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, process.stderr.read()
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@pytest.mark.parametrize("line", [line for line in examples() if line.split()[1] == "agent"])
def test_an_agent_brings_its_node_and_ends_when_told(live, line):
    live.run("tidegate fleet create edge", project="p", server=live.operators)
    with tempfile.TemporaryDirectory(prefix="agent-") as name:
        log = Path(name) / "agent.log"
        with agent_of(live, line, Path(name)) as agent:
            assert agent.stdout.readline().startswith("admin "), log.read_text()
            # Without a driver the Envoy is somebody else's, and here there is none.
            joined = "--driver none" in line or brings_its_node(live, within=20)
            assert joined, log.read_text()
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(20) == 0, log.read_text()
        assert log.read_text().splitlines()[-1] == "stopped"


@pytest.mark.parametrize(
    "line", ["tidegate pool create web --protocol http", "tidegate vip get web"]
)
def test_the_line_that_show_buf_prints_runs(live, project, line):
    buf = Path(sys.executable).with_name("buf")
    if "get" in line:
        live.must("tidegate pool create web --protocol http", project=project)
        live.must("tidegate vip create web --pool web --protocol http --port 80", project=project)
    words = shlex.split(live.must(f"{line} --show buf", project=project).out)
    done = subprocess.run(
        [str(buf), *words[1:]], capture_output=True, text=True, timeout=30, check=True
    )
    assert json.loads(done.stdout)["name"].endswith("/web")


def test_the_readmes_file_is_applied_as_it_stands(live, project, tmp_path):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (tmp_path / "shop.yaml").write_text(readme.partition("```yaml\n")[2].partition("```")[0])
    ran = live.must(f"tidegate apply -f {tmp_path}/shop.yaml --wait=applied", project=project)
    assert "pool/shop applied: revision" in ran.err
    assert [line.split()[1:] for line in ran.out.splitlines()[1:]] == [["ACTIVE", "1/1"]] * 5


def test_the_readmes_commands_are_commands():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    blocks = readme.split("```")[1::2]
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    typed = [line for line in lines if re.match(r"tidegate \w", line)]
    assert len(typed) > 5
    for line in typed:
        words = shlex.split(re.split(r" [>&]", line)[0])[1:]
        verb = words[:2] if words[0] in {"pool", "member", "vip", "fleet", "monitor"} else words[:1]
        assert run_words([*verb, "--help"], env={}).code == 0, line
