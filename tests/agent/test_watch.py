"""An Envoy that is slow to answer is not taken for another one."""

import asyncio
from datetime import timedelta

from agent.admin import Admin
from agent.diagnose import cause
from agent.findings import Findings
from agent.watch import EnvoyWatch
from lbaas.v1.agent_service_pb2 import AgentSpec
from tests.agent.world import World
from tests.harness.waiting import until

BUSY = 2.9
"""Seconds; less than the agent's patience. 1,000 VIPs at once keep Envoy for 2 s."""


class Held(Admin):
    """Each question comes to an Envoy whose main thread is busy for a while."""

    held = 0.0
    asked = 0

    async def get(self, path: str, **query: str) -> bytes:
        if path == "/server_info":
            await asyncio.sleep(self.held)
            self.asked += 1
        return await super().get(path, **query)


async def test_a_slow_answer_begins_no_new_count(world: World) -> None:
    driver = world.driver()
    await driver.start()
    try:
        findings = Findings()
        async with Held(driver.admin) as admin:
            watch = EnvoyWatch(admin, findings, diagnose=cause, health_every=0.05)
            task = asyncio.create_task(watch.run())

            async def found() -> bool:
                (report,) = findings.take(whole=True)
                return report.envoy_running

            await until(found, within=10, what="it answers")
            (report,) = findings.take(whole=True)
            start = report.envoy_start_time.seconds
            for held in (BUSY, 0.0):
                admin.held, before = held, admin.asked

                async def asked(before: int = before) -> bool:
                    watch.apply(AgentSpec())  # it looks at once
                    return admin.asked > before + 1

                await until(asked, within=10, what="it was asked twice")
                (report,) = findings.take(whole=True)
                assert report.envoy_start_time.seconds == start
            task.cancel()
            await asyncio.wait((task,))
    finally:
        await driver.stop(drain=timedelta(0))
