"""The state of all objects: what is to be looked at anew, what is told, what is answered."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import structlog

from lbaas.model.enums import OperatingStatus
from lbaas.model.health import NO_AGENT, NOT_PLACED, NOT_RUNNING, Health
from lbaas.model.names import HEALTH_MONITOR
from tidegate.agents.judging import (
    Judges,
    findings,
    health_of_member,
    health_of_monitor,
    health_of_vip,
    judge,
)
from tidegate.agents.observations import AgentNode
from tidegate.agents.specs import Ping, Specs, WatchedPool
from tidegate.nodes import NodeRegister

log = structlog.get_logger("tidegate.agents")

SLICE = 100
"""How many pools are looked at, at most, before others have their turn."""

WORK = 2000
"""How many findings (members, each by each node) end a slice: some 15 ms, whoever's pools."""

SILENT = Health(
    status=OperatingStatus.UNKNOWN,
    reason="NOT_SEEN_YET",
    message="no node's Envoy has shown it yet",
)


def nobody_refuses(vip: str) -> Mapping[str, str]:  # noqa: ARG001 - stands for a function of it
    """Gives no refusals."""
    return {}


class Assessment:
    """What reports come to. Pools are marked, and looked at in slices.

    Who asks for a health is given it as of now, looked at or not.

    Attributes:
        wake: set when something waits to be looked at.
        refusals: gives, for a VIP, the nodes that refuse its listener and have no older one.
    """

    def __init__(
        self,
        specs: Specs,
        nodes: NodeRegister,
        *,
        agents: Mapping[str, Mapping[str, AgentNode]],
        tell: Callable[[frozenset[str]], None],
        pings: Callable[[Mapping[Ping, bool]], None],
    ) -> None:
        """Takes the pools, who counts, and the agents by fleet and node.

        `tell` is given the names of the objects whose status is new, `pings` the verdicts that
        the store does not have.
        """
        self._specs = specs
        self._nodes = nodes
        self._agents = agents
        self._tell = tell
        self._pings = pings
        self._dirty: dict[str, None] = {}
        self._dirty_monitors: set[str] = set()
        self._changed: set[str] = set()
        self._monitors: dict[str, tuple[OperatingStatus, str]] = {}
        self.wake = asyncio.Event()
        self.refusals: Callable[[str], Mapping[str, str]] = nobody_refuses
        nodes.on_counted.append(self.look_at_fleet)

    def mark(self, pool: str) -> None:
        """Takes that there is something new about a pool."""
        if pool in self._specs.pools:
            self._dirty[pool] = None
            self.wake.set()

    def mark_monitors(self, monitors: Iterable[str]) -> None:
        """Takes that monitors may watch other pools than before."""
        self._dirty_monitors.update(monitors)
        self.wake.set()

    def look_at_fleet(self, fleet: str) -> None:
        """Takes that one of a fleet's nodes is believed now, or no more."""
        if self._agents.get(fleet):
            for pool in self._specs.on(fleet):
                self.mark(pool)

    def _judges(self, pool: WatchedPool) -> Judges:
        there = [node for fleet in pool.fleets for node in self._agents.get(fleet, {}).values()]
        counted = {each.name for fleet in pool.fleets for each in self._nodes.counted(fleet)}
        heard = [node for node in there if node.reported and node.name in counted]
        silence = NO_AGENT if not heard else SILENT
        if heard and not any(node.judges for node in heard):
            silence = NOT_RUNNING
        return Judges(
            nodes=sorted((each for each in heard if each.judges), key=lambda each: each.name),
            silence=silence,
            pinging=[each for each in heard if not each.hello.ping_refusal],
        )

    def _judge(self, pool: WatchedPool) -> int:
        """Judges a pool; gives how many findings that took."""
        judges = self._judges(pool)
        judged = judge(pool, judges)
        self._changed |= judged.changed
        self._pings(judged.pings)
        return len(pool.members) * max(1, len(judges.nodes))

    def _look_at_monitors(self, monitors: Iterable[str]) -> None:
        for name in monitors:
            health = health_of_monitor(self._specs, name)
            found = (health.status, health.reason)
            if self._monitors.get(name) != found:
                self._changed.add(name)
                self._monitors[name] = found
            if not self._specs.using(name):
                self._monitors.pop(name, None)

    def look(self) -> bool:
        """Looks at a slice of what is new, and tells the feed; gives whether there is more."""
        monitors, self._dirty_monitors = self._dirty_monitors, set()
        work = 0
        for name in list(islice(self._dirty, SLICE)):
            if work >= WORK:
                break
            del self._dirty[name]
            if (pool := self._specs.pools.get(name)) is not None:
                try:
                    work += self._judge(pool)
                except Exception:
                    # A defect of ours: one pool must not keep the others, and us, from going on.
                    log.exception("the health of a pool could not be found", pool=name)
                monitors.update(each.name for each in pool.monitors)
        self._look_at_monitors(monitors)
        if self._changed:
            changed, self._changed = self._changed, set()
            self._tell(frozenset(changed))
        return bool(self._dirty)

    def health(self, name: str) -> Health:
        """Gives an object's health as of now; `NOT_PLACED` if no fleet has it."""
        if HEALTH_MONITOR.parse(name):
            for each in self._specs.using(name):
                self._judged(self._specs.pools[each])
            return health_of_monitor(self._specs, name)
        pool = self._specs.home(name)
        if pool is None or not pool.fleets:
            return NOT_PLACED
        found = self._judged(pool)
        if name == pool.name:
            return found
        if (member := pool.members.get(name)) is not None:
            judges = self._judges(pool)
            return health_of_member(pool, member, judges, findings(pool, member, judges))
        vip = next(each for each in pool.vips if each.name == name)
        nodes = sum(len(self._nodes.counted(fleet)) for fleet in pool.fleets)
        return health_of_vip(pool, vip, refusals=self.refusals(name), nodes=nodes)

    def found_down(self, pool: str) -> frozenset[str]:
        """Gives the members of a pool that fail a monitor wherever they are checked.

        Not those that nobody has checked yet: an Envoy that was started anew knows nobody.
        """
        there = self._specs.pools.get(pool)
        if there is None or not there.fleets:
            return frozenset()
        self._judged(there)
        return frozenset(
            each.name
            for each in there.members.values()
            if each.standing is not None
            and each.standing.status is OperatingStatus.OFFLINE
            and each.standing.reason == "MONITOR_FAILED"
        )

    def _judged(self, pool: WatchedPool) -> Health:
        if pool.name in self._dirty or pool.health is None:
            self._judge(pool)  # it stays marked: its monitors have yet to be looked at
        return pool.health or NOT_PLACED
