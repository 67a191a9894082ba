"""All agents of all fleets: their streams, what they are told, what becomes of their reports."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import structlog

from api.fleet_view import TrafficView
from lbaas.model.errors import NotFound
from lbaas.model.names import fleet_of_node
from lbaas.model.objects import EPOCH, AgentView
from lbaas.model.reports import AgentHello, AgentReport, Traffic
from lbaas.store.feed import Notice
from lbaas.store.store import Store
from tidegate.agents.assessment import Assessment
from tidegate.agents.evidence import Witnesses
from tidegate.agents.ledger import Ledger
from tidegate.agents.observations import AgentNode, Stream
from tidegate.agents.session import Session
from tidegate.agents.specs import Specs, WatchedPool, watched
from tidegate.impact import Move
from tidegate.nodes import NodeRegister, TrackedNode

log = structlog.get_logger("tidegate.agents")

GRACE = 5.0
"""How many seconds an agent may be away before what it found is no longer believed."""


class AgentHub:
    """Implements `api.agents.Agents`, and follows reconcile. Lives on the event loop alone.

    Attributes:
        assessment: what all the reports come to.
        ledger: what of them goes to the store.
        witnesses: whom to ask what an Envoy runs that withholds its answers.
        on_ability: called when a node's agent can ping and could not before, or the reverse.
    """

    def __init__(
        self,
        store: Store,
        nodes: NodeRegister,
        *,
        known: Callable[[str], bool],
        save: Callable[[TrackedNode], None],
        grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the rooms around it.

        Args:
            store: where verdicts and traffic go.
            nodes: who counts.
            known: tells whether there is a fleet of this id.
            save: takes a node of which the store is to keep something new.
            grace: for how many seconds what an agent found is believed when it is gone.
            clock: gives seconds.
        """
        self._store = store
        self._nodes = nodes
        self._known = known
        self._save = save
        self._grace = grace
        self._clock = clock
        self._agents: dict[str, dict[str, AgentNode]] = {}
        self._specs = Specs()
        self.ledger = Ledger(store)
        self.assessment = Assessment(
            self._specs, nodes, agents=self._agents, tell=self._post, pings=self.ledger.found
        )
        self.witnesses = Witnesses(nodes, self._sessions)
        self.on_ability: Callable[[], None] = lambda: None

    def _sessions(self) -> Iterator[tuple[str, Stream]]:
        for nodes in self._agents.values():
            for node in nodes.values():
                if node.stream is not None:
                    yield node.name, node.stream

    def _post(self, changed: frozenset[str]) -> None:
        """Tells watchers, and those who wait, whose status is new."""
        feed = self._store.feed
        feed.post(Notice(revision=feed.revision, statuses=changed))

    # -- what reconcile says -------------------------------------------------------------

    def follow(self, moves: Sequence[Move], revision: int) -> None:  # noqa: ARG002 - a Follower
        """Takes what a pass changed: new specs for agents, and a new look at each pool."""
        vips: set[str] = set()
        for move in moves:
            new = None
            if move.tree is not None:
                places = () if move.new is None else move.new.resources.keys()
                new = watched(move.tree, fleets=move.fleets, resources=places)
            old = self._specs.put(move.pool, new)
            self._tell(move.pool, old, new)
            if new is not None:
                self.assessment.mark(move.pool)
            if old is not None:
                kept = new.members.keys() if new is not None else ()
                vips.update(vip.name for vip in old.vips)
                for name in old.members.keys() - kept:
                    self.ledger.counts.forget(name)
                self.assessment.mark_monitors(monitor.name for monitor in old.monitors)
                if new is None:
                    self.ledger.counts.forget(move.pool)
        for vip in self._specs.homeless(vips):
            self.ledger.counts.forget(vip)

    def _tell(self, name: str, old: WatchedPool | None, new: WatchedPool | None) -> None:
        """Marks the streams of agents to whom a pool is new, other than it was, or gone."""
        before = () if old is None else old.fleets
        after = () if new is None else new.fleets
        same = old is not None and new is not None and old.spec() == new.spec()
        for fleet in dict.fromkeys((*before, *after)):
            if same and fleet in before and fleet in after:
                continue
            for node in self._agents.get(fleet, {}).values():
                if node.stream is not None:
                    node.stream.mark(name)
                else:
                    node.trim(name, new if fleet in after else None)

    # -- what agents say (api.agents.Agents) -----------------------------------------------

    def open(self, hello: AgentHello) -> Session:
        """Takes a new stream; an older one of the same node ends.

        Raises:
            NotFound: there is no such fleet.
        """
        fleet_name = fleet_of_node(hello.node)
        fleet = fleet_name.removeprefix("fleets/")
        if not self._known(fleet):
            raise NotFound("fleet", fleet_name)
        node = self._agents.setdefault(fleet, {}).get(hello.node)
        if node is None:
            node = AgentNode(fleet, hello)
            self._agents[fleet][hello.node] = node
        if node.stream is not None:
            node.stream.replaced()
        if node.silent_since is None:
            node.silent_since = self._clock()
        session = Session(node, self._specs, report=self._report, closed=self._closed)
        node.hello, node.stream = hello, session
        self._register(hello)
        log.info("agent connected", node=hello.node, driver=hello.driver, ping=hello.ping_refusal)
        self.assessment.wake.set()
        return session

    def _register(self, hello: AgentHello) -> None:
        tracked = self._nodes.find(hello.node)
        before = None if tracked is None else (tracked.agent, tracked.ping)
        tracked = self._nodes.agent_came(hello.node, ping=not hello.ping_refusal)
        if (tracked.agent, tracked.ping) != before:
            self._save(tracked)
            self.on_ability()

    def _report(self, node: AgentNode, report: AgentReport) -> None:
        for pool in node.take(report, self._specs, self._clock()):
            self.assessment.mark(pool)
        if report.evidence is not None:
            self.witnesses.take(node.name, report.evidence)
        if report.traffic:
            self.ledger.counts.take(
                node.name, report.envoy_start, report.traffic, names=self._kept_name(node.fleet)
            )

    def _kept_name(self, fleet: str) -> Callable[[str], str]:
        """Gives what gives the string that is kept of an object's name, "" if it is not here."""

        def kept(name: str) -> str:
            pool = self._specs.home(name)
            if pool is None or fleet not in pool.fleets:
                return ""
            member = pool.members.get(name)
            return name if member is None else member.name

        return kept

    def _closed(self, node: AgentNode) -> None:
        log.info("agent disconnected", node=node.name)
        node.stream = None
        node.silent_since = self._clock()
        self.assessment.wake.set()

    def expire(self) -> None:
        """Drops what is not said any more, and all of agents that have been gone for too long."""
        now = self._clock()
        for fleet, nodes in list(self._agents.items()):
            for node in list(nodes.values()):
                if node.drops_at is not None and node.drops_at <= now:
                    for pool in node.drop_unsaid():
                        self.assessment.mark(pool)
                if node.silent_since is None or now - node.silent_since < self._grace:
                    continue
                if node.reported:
                    log.warning("agent is gone, what it found is dropped", node=node.name)
                    node.forget()
                    self.assessment.look_at_fleet(fleet)
                if node.stream is None and self._nodes.find(node.name) is None:
                    self.ledger.forget_node(node.name)
                    del nodes[node.name]
            if not nodes:
                del self._agents[fleet]

    def _next_expiry(self) -> float | None:
        due: list[float] = []
        for node in (each for nodes in self._agents.values() for each in nodes.values()):
            if node.silent_since is not None and node.reported:
                due.append(node.silent_since + self._grace)
            if node.drops_at is not None:
                due.append(node.drops_at)
        return max(0.0, min(due) - self._clock()) if due else None

    async def run(self) -> None:
        """Judges, tells and stores until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self.ledger.run())
            tasks.create_task(self.witnesses.run())

    async def _watch(self) -> None:
        while True:
            self.assessment.wake.clear()
            self.expire()
            more = True
            while more:
                more = self.assessment.look()
                await asyncio.sleep(0)
            # Not `wait_for`: with Python 3.11 that loses a cancellation which meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_expiry()):
                    await self.assessment.wake.wait()

    async def load(self) -> None:
        """Takes what the store has counted; to be called when the pools are known."""
        await self.ledger.load(
            there=lambda name: self._specs.home(name) is not None,
            known=lambda node: self._nodes.find(node) is not None,
        )

    def unheard(self, fleet: str) -> bool:
        """Tells whether a counted node of a fleet (by its id) has an agent that has yet to report.

        After the control plane's start that is so for a moment.
        """
        there = self._agents.get(fleet, {})
        awaited = (each.name for each in self._nodes.counted(fleet) if each.agent)
        return any(name not in there or not there[name].reported for name in awaited)

    # -- what the fleet view asks ------------------------------------------------------------

    def traffic(self, name: str) -> TrafficView | None:
        """Gives the traffic of a VIP, pool or member; None if no agent ever reported of it."""
        pool = self._specs.home(name)
        if pool is None:
            return None
        counted = {each.name for fleet in pool.fleets for each in self._nodes.counted(fleet)}
        agents = [each for fleet in pool.fleets for each in self._agents.get(fleet, {}).values()]
        here = {each.name for each in agents if each.connected}
        found = self.ledger.counts.of(name, connected=here.__contains__)
        if found is None and not any(each.last_report > EPOCH for each in agents):
            return None
        members = pool.members if name == pool.name else ()
        return TrafficView(
            traffic=found or Traffic(),
            reporting=len(here & counted),
            total=len(counted),
            time=max((each.last_report for each in agents), default=EPOCH),
            members={
                each: self.ledger.counts.of(each, connected=here.__contains__) or Traffic()
                for each in members
            },
        )

    def agent(self, node: str) -> AgentView | None:
        """Gives what is known of the agent of a node (by its name); None: it never had one."""
        fleet = fleet_of_node(node).removeprefix("fleets/")
        there = self._agents.get(fleet, {}).get(node)
        if there is not None:
            return there.view()
        tracked = self._nodes.find(node)
        if tracked is None or not tracked.agent:
            return None
        return AgentView(connected=False, version="", driver="")
