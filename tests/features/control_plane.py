"""The control plane as a process of its own, to be killed and started again."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.harness.ports import free_port
from tests.harness.waiting import until


class ControlPlane:
    """`tidegate serve` on fixed ports, so that Envoys find it again after a restart."""

    def __init__(self, folder: Path, *, patience: float = 30.0, **env: str) -> None:
        self._patience = patience
        self.api_port = free_port()
        self.xds_port = free_port()
        self.log = folder / "serve.log"
        self._env = {
            **os.environ,
            "TIDEGATE_DATABASE": f"sqlite:///{folder}/tidegate.db",
            "TIDEGATE_API_ADDRESS": f"127.0.0.1:{self.api_port}",
            "TIDEGATE_XDS_ADDRESS": f"127.0.0.1:{self.xds_port}",
            "TIDEGATE_MEMBER_RANGES_ALLOWED": '["127.0.0.0/8"]',
            **env,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it and waits until its health says SERVING."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tidegate", "serve", env=self._env, stdout=log, stderr=log
            )

        async def serving() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, self.log.read_text()[-3000:]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{self.api_port}") as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                return answer.status == health_pb2.HealthCheckResponse.SERVING

        await until(
            serving,
            within=self._patience,
            what="the control plane serves",
            every=0.05,
            tolerate=(OSError, grpc.aio.AioRpcError),
        )

    @property
    def pid(self) -> int:
        """The process that runs now, or ran last."""
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL: nothing is written, nothing is said."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                await self._process.wait()
        return self._process.returncode or 0

    def sent_in_its_life(self) -> dict[str, int]:
        """What the last process that was stopped (not killed) said it had sent."""
        line = [line for line in self.log.read_text().splitlines() if "] stopped" in line][-1]
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_exc: object) -> None:
        if kind is not None:
            print(self.log.read_text()[-5000:])  # noqa: T201 - pytest shows it with the failure
        if self._process is not None and self._process.returncode is None:
            await self.kill()
