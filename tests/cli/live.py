"""A control plane that runs, commands typed at it, and an agent beside an Envoy."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cli.conftest import Ran, run_words


@dataclass
class Live:
    """Two control planes: `edge` of one has an Envoy; the other is for what operators change.

    `xds` is the other's, for agents.
    """

    tenants: str
    operators: str
    xds: str
    count: int = 0

    def run(self, line: str, *, project: str, server: str = "") -> Ran:
        env = {"TIDEGATE_SERVER": server or self.tenants, "TIDEGATE_PROJECT": project}
        return run_words(shlex.split(line.removeprefix("tidegate ")), env=env)

    def must(self, line: str, *, project: str, server: str = "") -> Ran:
        ran = self.run(line, project=project, server=server)
        assert ran.code == 0, ran.err
        return ran


@contextmanager
def agent_of(live: Live, line: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs an agent's example until the block ends, in a folder short enough for sockets."""
    env = {"TIDEGATE_SERVER": live.operators, "TIDEGATE_XDS_ADDRESS": live.xds}
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(line)],
            cwd=folder,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        try:
            yield process
        finally:
            # Killed at once it would leave its Envoy running, as it should.
            with suppress(subprocess.TimeoutExpired):
                process.terminate()
                process.wait(20)
            process.kill()


def brings_its_node(live: Live, *, within: float) -> bool:
    """Tells whether the node has joined with an agent that runs its Envoy."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        ran = live.run("tidegate node get edge/e1 -o json", project="p", server=live.operators)
        node = json.loads(ran.out or "{}")
        if node.get("connected") and node.get("agent", {}).get("envoyRunning"):
            return bool(node["agent"]["driver"] == "process")
        time.sleep(0.05)
    return False
