"""The agent beside one Envoy: runs it, watches it and its members, and reports."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from agent.admin import Admin
from agent.diagnose import cause
from agent.driver import Driver
from agent.evidence import EvidenceReader
from agent.findings import Findings
from agent.ping import Pinger
from agent.session import ChannelFactory, Session, insecure_channel
from agent.supervise import Backoff, Supervisor
from agent.watch import EnvoyWatch
from lbaas.v1.agent_service_pb2 import AgentHello, AgentSpec

DRAIN: Final = timedelta(seconds=30)
"""How long clients' connections may go on when the agent stops, unless it is told otherwise."""

log = structlog.get_logger("agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an agent is told.

    Attributes:
        control_planes: `host:port` or `unix:/path` of the API of every control plane process; they
            are tried in turn.
        fleet: the fleet's id or name.
        node: the node's id or name; the one that the Envoy's bootstrap gives.
        driver: what runs the Envoy: `agent.process.ProcessDriver`,
            `agent.container.ContainerDriver` or `agent.attached.AttachedDriver`.
        version: the agent's version, for its hello.
        drain: how long clients' connections may go on when the agent stops.
        leave_running: when the agent stops, the Envoy is not drained and ended but serves on, and
            the next agent adopts it: for an upgrade of the agent.
        channel: makes the channel to one control plane.
    """

    control_planes: tuple[str, ...]
    fleet: str
    node: str
    driver: Driver
    version: str = ""
    drain: timedelta = DRAIN
    leave_running: bool = False
    channel: ChannelFactory = insecure_channel


async def run(options: Options) -> None:
    """Runs an agent until it is cancelled; it ends the Envoy then (see `Options`).

    A second cancellation cuts the drain short. Whatever fails on the way, the Envoy, the control
    plane or the network, is logged and tried again, for ever.

    Raises:
        ValueError: no control plane is named.
        ExceptionGroup: of a TakenError: another agent keeps this node's Envoy, and this one has
            done nothing; of another DriverError: the Envoy may still run although it was to be
            ended.
    """
    if not options.control_planes:
        raise ValueError("an agent needs the address of at least one control plane")
    findings = Findings()
    pinger = Pinger(findings.ping)
    admin = Admin(options.driver.admin)
    watch = EnvoyWatch(admin, findings, diagnose=cause)
    evidence = EvidenceReader(admin, findings.evidence)

    def take(spec: AgentSpec) -> None:
        if spec.HasField("evidence"):
            evidence.ask(spec.evidence)
            if not (spec.whole or spec.pools or spec.removed_pools):
                return
        pools = watch.apply(spec)
        pinger.watch(pools)
        findings.keep_pings((one.member, one.health_monitor) for one in pinger.verdicts())

    def hello() -> AgentHello:
        return AgentHello(
            node=_node_name(options.fleet, options.node),
            version=options.version,
            driver=options.driver.name,
            ping_refusal=pinger.refusal(),
        )

    session = Session(
        options.control_planes, hello=hello, findings=findings, take=take, channel=options.channel
    )
    supervisor = Supervisor(options.driver, drain=options.drain, ended=watch.envoy_ended)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_for_ever("session", session.run))
            tasks.create_task(_for_ever("watch", watch.run))
            tasks.create_task(_for_ever("evidence", evidence.run))
            # In the group's body: while a cancelled supervisor drains, the others go on.
            await supervisor.run(leave_running=options.leave_running)
    finally:
        pinger.close()
        await admin.close()
        log.info("agent stopped", node=options.node)


async def _for_ever(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Does something again when it fails: a fault in reporting must not end the Envoy."""
    failures = 0
    while True:
        try:
            await work()
        except Exception:
            failures += 1
            log.exception("a part of the agent failed; it starts again", part=what)
            await asyncio.sleep(Backoff(first=1.0).wait(failures))


def _node_name(fleet: str, node: str) -> str:
    """Gives `fleets/{fleet}/nodes/{node}` of ids or names."""
    return f"fleets/{fleet.rpartition('/')[2]}/nodes/{node.rpartition('/')[2]}"
