"""The product on a host: a control plane on unix sockets, and nodes with agents in namespaces."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from lbaas.v1 import fleet_pb2, fleet_service_pb2, member_pb2, member_service_pb2
from tests.features.world import Client, client_of, settings
from tests.harness.http_client import Reply, fetch
from tests.harness.waiting import until
from tests.host.netns import Namespace
from tidegate.plane import Plane, running_plane

WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


@asynccontextmanager
async def control_plane(folder: Path, **more: Any) -> AsyncIterator[tuple[Plane, Client]]:
    """A control plane that nodes in any namespace reach, and a client."""
    api = f"unix:{folder}/api.sock"
    given = {"api_address": api, "xds_address": f"unix:{folder}/xds.sock", **more}
    async with running_plane(settings(folder, **given)) as plane, client_of(api) as client:
        yield plane, client


class NodeProcess:
    """`tidegate agent` as a process of its own, with the Envoy that it runs.

    Args:
        folder: where `control_plane` was made; its own is below that.
        fleet: the fleet's id.
        node: the node's id.
        options: more for the command line.
        xds: where its Envoy gets its configuration, if not from `control_plane`'s socket.
        before: words before the command: whatever puts it into a namespace.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fleet: str,
        node: str,
        options: Sequence[str] = (),
        xds: str = "",
        before: Sequence[str] = (),
    ) -> None:
        self.name = f"fleets/{fleet}/nodes/{node}"
        self.folder = folder / f"{fleet}-{node}"
        self.log = folder / f"{fleet}-{node}.log"
        self._command = [
            *before,
            *(sys.executable, "-m", "tidegate", "agent", "--fleet", fleet, "--node", node),
            *("--work-folder", str(self.folder), "--concurrency", "1"),
            *("--server", f"unix:{folder}/api.sock"),
            *("--xds-address", xds or f"unix:{folder}/xds.sock"),
            *("--drain-time", "0s", *options),
        ]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it, and waits for nothing."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def stop(self) -> int:
        """SIGTERM: it ends its Envoy, and then itself; gives the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
            async with asyncio.timeout(20):
                await self._process.wait()
        return self._process.returncode or 0

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to both, the agent first."""
        assert self._process is not None
        for pid in (self._process.pid, self.envoy_pid):
            os.kill(pid, number)

    @property
    def envoy_pid(self) -> int:
        """The process id of its Envoy, which was started as a process."""
        return int((self.folder / "envoy.pid").read_text())

    async def admin(self, path: str) -> Reply:
        """One question to its Envoy's admin interface."""
        return await fetch(str(self.folder / "admin.sock"), path)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        folder: Path,
        *,
        fleet: str,
        node: str,
        namespace: Namespace | None = None,
        privileged: bool = True,
        **more: Any,
    ) -> AsyncIterator["NodeProcess"]:
        """One that runs; at the end it and its Envoy are gone, and after a failure its log is told.

        Args:
            folder: see above.
            fleet: see above.
            node: see above.
            namespace: where it runs; this process's own if None.
            privileged: without it the agent is root that may nothing more than others.
            more: see above.
        """
        before = (
            *(namespace.enter if namespace else ()),
            *(() if privileged else WITHOUT_PRIVILEGES),
        )
        made = cls(folder, fleet=fleet, node=node, before=before, **more)
        await made.start()
        try:
            yield made
        except BaseException:
            print(made.log.read_text(errors="replace")[-3000:])  # noqa: T201 - pytest shows it
            raise
        finally:
            await made._end()

    async def _end(self) -> None:
        assert self._process is not None
        with suppress(OSError, ValueError):
            self.signal(signal.SIGCONT)
        try:
            await self.stop()
        except TimeoutError:
            with suppress(OSError, ValueError):
                os.kill(self.envoy_pid, signal.SIGKILL)
            self._process.kill()
            await self._process.wait()
            raise


async def node_of(client: Client, name: str) -> fleet_pb2.Node | None:
    """A node as the API tells it, None if it is not known."""
    try:
        request = fleet_service_pb2.GetNodeRequest(name=name)
        found: fleet_pb2.Node = await client.fleets.GetNode(request)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
    return found


async def joined(client: Client, *names: str) -> None:
    """Waits until nodes count, and their agents report a running Envoy."""

    async def all_there() -> bool:
        found = [await node_of(client, name) for name in names]
        return all(
            each is not None
            and each.state == fleet_pb2.NodeState.SYNCED
            and each.agent.connected
            and each.agent.envoy_running
            for each in found
        )

    await until(all_there, within=20, what=f"{', '.join(names)} have joined")


async def member_of(client: Client, name: str) -> member_pb2.Member:
    """A member as the API tells it."""
    found: member_pb2.Member = await client.members.GetMember(
        member_service_pb2.GetMemberRequest(name=name)
    )
    return found


def told(message: Any) -> str:
    """A message for a failure's text."""
    return str(MessageToDict(message))
