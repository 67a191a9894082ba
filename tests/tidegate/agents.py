"""An agent without a network, beside a node of the world: it says what a test tells it to."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from lbaas.model.reports import (
    AgentHello,
    AgentReport,
    AgentSpec,
    MemberObservation,
    MemberState,
    PingVerdict,
    Traffic,
    TrafficSample,
)
from lbaas.store.store import Store
from tests.store import make
from tests.tidegate.world import World

UP, DOWN, PENDING = MemberState.UP, MemberState.DOWN, MemberState.PENDING
START = datetime(2026, 1, 2, 12, tzinfo=UTC)
M1, M2 = (f"{make.POOL}/members/m{number}" for number in (1, 2))
TCP = make.monitor().name
PING = make.monitor("ping").name


class Agent:
    """One agent; `start` is when its Envoy started."""

    def __init__(
        self, world: World, node: str = "n1", *, fleet: str = "edge", ping: str = ""
    ) -> None:
        self.world = world
        self.name = f"fleets/{fleet}/nodes/{node}"
        self.ping_refusal = ping
        self.start = START
        self.connect()

    def connect(self) -> None:
        self.session = self.world.agents.open(
            AgentHello(
                node=self.name, version="0.1", driver="process", ping_refusal=self.ping_refusal
            )
        )

    async def told(self) -> AgentSpec:
        return await self.session.next()

    def report(
        self,
        members: Mapping[str, MemberState | tuple[str, str]] = {},
        *,
        pings: Mapping[tuple[str, str], bool] = {},
        traffic: Mapping[str, Traffic] = {},
        whole: bool = False,
        running: bool = True,
        at: float = 0.0,
        warming: tuple[str, ...] = (),
    ) -> None:
        """Reports; a member's state, or the monitor it fails and why."""
        time = START + timedelta(seconds=at)
        self.session.report(
            AgentReport(
                time=time,
                envoy_running=running,
                envoy_start=self.start,
                whole=whole,
                members=tuple(_observation(name, said, time) for name, said in members.items()),
                pings=tuple(
                    PingVerdict(
                        member=member,
                        monitor=monitor,
                        up=up,
                        cause="" if up else "no answer in 1 s",
                        time=time,
                    )
                    for (member, monitor), up in pings.items()
                ),
                traffic=tuple(
                    TrafficSample(name=name, traffic=each) for name, each in traffic.items()
                ),
                warming=warming,
            )
        )


def _observation(
    name: str, said: MemberState | tuple[str, str], time: datetime
) -> MemberObservation:
    if isinstance(said, MemberState):
        return MemberObservation(member=name, state=said, time=time)
    monitor, cause = said
    return MemberObservation(member=name, state=DOWN, monitor=monitor, cause=cause, time=time)


class Heard:
    """Whose status the feed has told of since it was last asked."""

    def __init__(self, store: Store) -> None:
        self._subscription = store.feed.subscribe()

    async def names(self) -> set[str]:
        self._subscription._ready.set()
        notice = await self._subscription.get()
        return set(notice.statuses)


def health(world: World, name: str) -> tuple[str, str]:
    found = world.view.health(name)
    return found.status.value, found.reason
