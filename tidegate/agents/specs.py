"""What agents are to watch: every pool, as lean as its health and an agent's spec allow.

10,000 pools with 10 members each are kept here, so a member is one slotted value, names are the
store's own strings, and the messages for agents are made when they are asked for.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from lbaas.model.enums import HealthMonitorType
from lbaas.model.health import Health
from lbaas.model.names import pool_of_member
from lbaas.model.objects import HealthMonitor, PoolTree
from lbaas.model.pool_health import Standing
from lbaas.model.reports import MemberAddress, PoolSpec
from tidegate.rendering import Place
from xds.cache.types import CLUSTER, LISTENER, Key
from xds.translate.endpoints import rendered

Ping = tuple[str, str]
"""A member's name and a PING monitor's."""


@dataclass(slots=True)
class WatchedMember:
    """A member, and what was last made of it.

    `rendered`: it is in its cluster, so agents watch it. `draining`: in it, and leaving.
    `unreachable`: by PING, as the store has it. `failing`: the monitors it fails on some node.
    """

    name: str
    address: str
    port: int
    weight: int
    backup: bool
    admin_state_up: bool
    rendered: bool
    draining: bool
    unreachable: bool
    standing: Standing | None = None
    failing: tuple[str, ...] = ()

    @property
    def eligible(self) -> bool:
        """Tells whether it should take new traffic."""
        return self.admin_state_up and self.weight > 0 and not self.draining


@dataclass(slots=True)
class WatchedVip:
    """A VIP; `served`: it has a listener. `found` is what was last made of it."""

    name: str
    admin_state_up: bool
    served: bool
    found: tuple[object, ...] | None = None


@dataclass(slots=True)
class WatchedPool:
    """A pool on its fleets (ids; two while it moves, none without a place), and its state.

    `settled` has the PING verdicts that the store has, or is about to be given. `passing` says
    of each monitor how many members pass it, which fail it, and how many are not known.
    """

    name: str
    admin_state_up: bool
    fleets: tuple[str, ...]
    clusters: tuple[str, ...]
    members: dict[str, WatchedMember]
    monitors: tuple[HealthMonitor, ...]
    vips: tuple[WatchedVip, ...]
    settled: dict[Ping, bool] = field(default_factory=dict)
    passing: dict[str, tuple[int, tuple[str, ...], int]] = field(default_factory=dict)
    health: Health | None = None

    @property
    def monitored(self) -> bool:
        """Tells whether a monitor that is switched on watches it."""
        return any(monitor.admin_state_up for monitor in self.monitors)

    @property
    def ping_monitors(self) -> tuple[str, ...]:
        """Gives the PING monitors that are switched on."""
        return tuple(
            monitor.name
            for monitor in self.monitors
            if monitor.admin_state_up and monitor.type is HealthMonitorType.PING
        )

    def spec(self) -> PoolSpec:
        """Gives the pool as an agent needs it."""
        return PoolSpec(
            pool=self.name,
            clusters=self.clusters,
            members=tuple(
                MemberAddress(name=each.name, address=each.address, port=each.port)
                for each in self.members.values()
                if each.rendered
            ),
            monitors=tuple(each for each in self.monitors if each.admin_state_up),
            vips=tuple(vip.name for vip in self.vips),
        )

    def carry_over(self, old: "WatchedPool") -> None:
        """Takes what was made of its objects before, so that only what changes is told.

        A PING verdict that the store no longer has as it was given (a monitor that was switched
        off and on begins anew) is to be given again.
        """
        self.health, self.passing = old.health, old.passing
        for name, member in self.members.items():
            if (before := old.members.get(name)) is not None:
                member.standing, member.failing = before.standing, before.failing
        before_of = {vip.name: vip.found for vip in old.vips}
        for vip in self.vips:
            vip.found = before_of.get(vip.name)
        monitors = self.ping_monitors
        for name, member in self.members.items():
            known = {
                (name, each): old.settled[name, each]
                for each in monitors
                if (name, each) in old.settled
            }
            if len(known) < len(monitors) or all(known.values()) != member.unreachable:
                self.settled.update(known)


def watched(
    tree: PoolTree, *, fleets: tuple[str, ...], resources: Collection[Place]
) -> WatchedPool:
    """Gives a pool as it is to be watched; `resources` are what it is rendered to."""
    present = {member.name for member in rendered(tree.pool, tree.members)}
    keys = {place.key for place in resources}
    return WatchedPool(
        name=tree.pool.name,
        admin_state_up=tree.pool.admin_state_up,
        fleets=fleets,
        clusters=tuple(sorted(key.name for key in keys if key.type_url == CLUSTER)),
        members={
            member.name: WatchedMember(
                name=member.name,
                address=member.address,
                port=member.port,
                weight=member.weight,
                backup=member.backup,
                admin_state_up=member.admin_state_up,
                rendered=member.name in present,
                draining=member.name in present
                and (not member.admin_state_up or bool(member.record.deleted_rev)),
                unreachable=member.name in tree.unreachable,
            )
            for member in tree.members
        },
        monitors=tree.health_monitors,
        vips=tuple(
            WatchedVip(vip.name, vip.admin_state_up, Key(LISTENER, vip.name) in keys)
            for vip in tree.vips
        ),
    )


@dataclass(slots=True)
class Specs:
    """All pools there are, and the ways to them: by fleet, from a VIP, from a monitor."""

    pools: dict[str, WatchedPool] = field(default_factory=dict)
    _on: dict[str, set[str]] = field(default_factory=dict)
    _pool_of_vip: dict[str, str] = field(default_factory=dict)
    _using: dict[str, set[str]] = field(default_factory=dict)

    def put(self, name: str, new: WatchedPool | None) -> WatchedPool | None:
        """Puts a pool in place of what it was (None: it is gone), and gives what it was."""
        old = self.pools.pop(name, None)
        if old is not None:
            for fleet in old.fleets:
                _discard(self._on, fleet, name)
            for monitor in old.monitors:
                _discard(self._using, monitor.name, name)
        if new is not None:
            self.pools[name] = new
            for fleet in new.fleets:
                self._on.setdefault(fleet, set()).add(name)
            for monitor in new.monitors:
                self._using.setdefault(monitor.name, set()).add(name)
            for vip in new.vips:
                self._pool_of_vip[vip.name] = name
            if old is not None:
                new.carry_over(old)
        return old

    def homeless(self, vips: Iterable[str]) -> set[str]:
        """Forgets, and gives, those of these VIPs that are in no pool any more."""
        gone = set()
        for vip in vips:
            pool = self.pools.get(self._pool_of_vip.get(vip, ""))
            if pool is None or all(each.name != vip for each in pool.vips):
                self._pool_of_vip.pop(vip, None)
                gone.add(vip)
        return gone

    def on(self, fleet: str) -> Collection[str]:
        """Gives the names of the pools on a fleet (by its id)."""
        return self._on.get(fleet, ())

    def using(self, monitor: str) -> Collection[str]:
        """Gives the names of the pools that a monitor watches."""
        return self._using.get(monitor, ())

    def home(self, name: str) -> WatchedPool | None:
        """Gives the pool that a pool, member or VIP is in; None if it is not there."""
        if (pool := self.pools.get(name)) is not None:
            return pool
        if (pool := self.pools.get(self._pool_of_vip.get(name, ""))) is not None:
            return pool
        pool = self.pools.get(pool_of_member(name))
        return pool if pool is not None and name in pool.members else None


def _discard(index: dict[str, set[str]], key: str, name: str) -> None:
    names = index[key]
    names.discard(name)
    if not names:
        del index[key]
