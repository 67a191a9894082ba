"""What every servicer stands on, and what ends with the server."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from api.fleet_view import FleetView
from api.paging import Pager
from lbaas.model.capabilities import EVERYTHING
from lbaas.model.objects import Capabilities, Fleet, Record
from lbaas.model.rules import AddressPolicy
from lbaas.model.status import Progress
from lbaas.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the fleet side says of an object at a moment.

    `offered` is what a fleet could do if everything were declared; `connected` counts its nodes.
    """

    progress: Progress = field(default_factory=Progress)
    offered: Capabilities = EVERYTHING
    connected: int = 0

    def after_write(self, record: Record) -> Progress:
        """Gives the progress of an object that was just written, which no node has seen yet."""
        if not record.deleted_rev and record.live_rev >= record.spec_rev:
            return self.progress
        return Progress(total=self.progress.total, waiting=self.progress.waiting)


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
        return Seen(progress=self.view.progress(name, 0))

    def see_fleet(self, name: str) -> Seen:
        """Gives what the fleet side says of a fleet."""
        return Seen(
            offered=self.view.effective(Fleet(name=name)), connected=self.view.connected(name)
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
