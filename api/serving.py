"""What every servicer stands on, and what ends with the server."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from api.fleet_view import FleetView, TrafficView
from api.paging import Pager
from api.seen import Seen
from lbaas.model.errors import FailedPrecondition
from lbaas.model.objects import Fleet
from lbaas.model.rules import AddressPolicy
from lbaas.store.store import Store


@dataclass(slots=True, kw_only=True)
class Serving:
    """The store, the fleet side and the settings of one server.

    `policy` is the store's: which members' addresses are allowed beyond ordinary ones.
    `heartbeat` is after how much silence a watch shows a sign of life.
    """

    store: Store
    view: FleetView
    pager: Pager
    policy: AddressPolicy
    heartbeat: timedelta = timedelta(seconds=15)
    stopping: bool = False
    _on_stop: set[Callable[[], None]] = field(default_factory=set)

    def see(self, name: str) -> Seen:
        """Gives what the fleet side says of a tenant's object."""
        return Seen(
            progress=self.view.progress(name, 0),
            health=self.view.health(name),
            connection_limits=self.view.connection_limits(name),
        )

    def see_each(self, pool: str, names: Iterable[str]) -> Callable[[str], Seen]:
        """Gives what the fleet side says of each of these, and of what is new, in a pool."""
        near = self.see(pool)
        known = {
            name: replace(
                near,
                health=self.view.health(name),
                connection_limits=self.view.connection_limits(name),
            )
            for name in names
        }
        new = near.of_new()
        return lambda name: known.get(name, new)

    def traffic(self, name: str) -> TrafficView:
        """Gives the traffic of a pool or VIP.

        Raises:
            FailedPrecondition: NO_AGENT: nobody has ever counted it.
        """
        found = self.view.traffic(name)
        if found is None:
            raise FailedPrecondition(
                "no agent has ever reported from its fleet: run `tidegate agent` beside each Envoy",
                reason="NO_AGENT",
                subject=name,
            )
        return found

    def see_fleet(self, name: str) -> Seen:
        """Gives what the fleet side says of a fleet."""
        return Seen(
            offered=self.view.effective(Fleet(name=name)),
            connected=self.view.connected(name),
            held_removals=self.view.held_removals(name),
            trial=self.view.trial(name),
        )

    def on_stop(self, action: Callable[[], None]) -> Callable[[], None]:
        """Has something done when the server stops; gives how to take that back."""
        self._on_stop.add(action)
        return lambda: self._on_stop.discard(action)

    def stop(self) -> None:
        """Ends what would never end by itself: watches and waits."""
        self.stopping = True
        for action in tuple(self._on_stop):
            action()
