"""The pools that an agent was told to watch, and how Envoy calls them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.addresses import Endpoint, endpoint
from agent.counts import Counts
from agent.readings import HostReading, State, cluster_counts, vip_counts
from lbaas.v1.agent_service_pb2 import AgentSpec, MemberState, PoolSpec
from lbaas.v1.enums_pb2 import HealthMonitorType
from lbaas.v1.health_monitor_pb2 import HealthMonitor


@dataclass(frozen=True, slots=True)
class Found:
    """A member as its pool's clusters find it together.

    `monitors` are those that Envoy itself checks it with.
    """

    member: str
    where: Endpoint
    state: State
    timed_out: bool
    monitors: tuple[HealthMonitor, ...]


class Pools:
    """Pools by name, as the newest specs have them."""

    def __init__(self) -> None:
        self._pools: dict[str, PoolSpec] = {}

    def apply(self, spec: AgentSpec) -> None:
        """Takes what changed, or everything."""
        if spec.whole:
            self._pools.clear()
        for pool in spec.pools:
            self._pools[pool.pool] = pool
        for name in spec.removed_pools:
            self._pools.pop(name, None)

    def __iter__(self) -> Iterator[PoolSpec]:
        return iter(self._pools.values())

    def clusters(self) -> frozenset[str]:
        """Gives the Envoy clusters of all pools."""
        return frozenset(cluster for pool in self for cluster in pool.clusters)

    def members(self) -> frozenset[str]:
        """Gives the names of all pools' members."""
        return frozenset(member.member for pool in self for member in pool.members)

    def found(self, hosts: Mapping[tuple[str, Endpoint], HostReading]) -> Iterator[Found]:
        """Gives the members that Envoy has, each by what its pool's clusters make of it.

        Each cluster checks for itself. DOWN in one is DOWN, for some of the pool's VIPs at least;
        then PENDING in one is PENDING.
        """
        for pool in self:
            monitors = tuple(_checked_by_envoy(pool.health_monitors))
            for member in pool.members:
                where = endpoint(member.address, member.port)
                readings = [
                    reading
                    for cluster in pool.clusters
                    if (reading := hosts.get((cluster, where))) is not None
                ]
                if not readings:
                    continue
                states = {reading.state for reading in readings}
                yield Found(
                    member=member.member,
                    where=where,
                    state=next(state for state in _WORST_FIRST if state in states),
                    timed_out=any(reading.timed_out for reading in readings),
                    monitors=monitors,
                )

    def counted(
        self,
        stats: Mapping[str, int],
        hosts: Mapping[tuple[str, Endpoint], HostReading],
    ) -> dict[str, dict[str, Counts]]:
        """Gives what was counted of each pool, VIP and member, by what counted it."""
        counted: dict[str, dict[str, Counts]] = {}
        for pool in self:
            counted[pool.pool] = {
                cluster: cluster_counts(stats, cluster) for cluster in pool.clusters
            }
            for vip in pool.vips:
                counted[vip] = {vip: vip_counts(stats, vip)}
            for member in pool.members:
                where = endpoint(member.address, member.port)
                counted[member.member] = {
                    cluster: reading.counts
                    for cluster in pool.clusters
                    if (reading := hosts.get((cluster, where))) is not None
                }
        return counted


_WORST_FIRST = (MemberState.DOWN, MemberState.PENDING, MemberState.UP)


def _checked_by_envoy(monitors: Iterable[HealthMonitor]) -> Iterator[HealthMonitor]:
    return (monitor for monitor in monitors if monitor.type != HealthMonitorType.PING)
