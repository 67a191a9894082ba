"""Placing pools: the scheduler's choices, made of what fleets are now, and stored."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import structlog

from lbaas.model.errors import FailedPrecondition, LbaasError, NotFound
from lbaas.model.objects import Capabilities, Fleet, Node, PoolTree, ServiceType
from lbaas.store import placements, trees
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tidegate.impact import objects_of
from xds.scheduler import Candidate, Decision, choose, refuge

log = structlog.get_logger("tidegate.placing")

NO_SERVICE_TYPE = "the pool names no service type, and the operator has made none the default"
"""The refusal of a pool that nothing says what it asks for."""

Choice = Callable[[PoolTree, ServiceType, Sequence[Candidate]], Decision]


class Placing:
    """Chooses fleets for pools and stores the choices.

    Attributes:
        fleets: all fleets by name, as reconcile last read them.
        service_types: all service types by name.
        on_missed: called when a choice could not be stored: the pool should be looked at again.
    """

    def __init__(
        self,
        store: Store,
        *,
        offered: Callable[[Fleet], Capabilities],
        live_nodes: Callable[[str], int],
        serving: Callable[[str], Sequence[Node]] = lambda _: (),
    ) -> None:
        """Takes what enters a choice beside the pools.

        `offered` gives what a fleet can really do, `live_nodes` how many of its nodes (by the
        fleet's id) are connected, `serving` those that may serve (by its name), for the words
        of a refusal.
        """
        self._store = store
        self._offered = offered
        self._live_nodes = live_nodes
        self._serving = serving
        self.fleets: Mapping[str, Fleet] = {}
        self.service_types: Mapping[str, ServiceType] = {}
        self.on_missed: Callable[[], None] = lambda: None

    async def place(self, homeless: Sequence[PoolTree]) -> None:
        """Chooses a fleet for each pool that has none, and stores the choices together."""
        decisions = self._choices(homeless, choose)
        await asyncio.gather(
            *(self._store_choice(tree, decision, move=False) for tree, decision in decisions)
        )

    async def move(self, trees_there: Sequence[PoolTree], *, why: str) -> Mapping[str, Decision]:
        """Moves pools away from where they are, each if another fleet with a live node fits.

        The old fleet serves on until the new one is live. `why` is put on record with the
        choice. Gives what was decided for each pool, by its name; "" for one that stays.
        """
        decided: dict[str, Decision] = {}
        refused: dict[str, set[str]] = {}
        wanting = trees_there
        while wanting:
            choices = [
                (tree, replace(decision, reason=f"{why}; {decision.reason}"))
                for tree, decision in self._choices(wanting, refuge, refused=refused)
            ]
            decided.update((tree.pool.name, decision) for tree, decision in choices)
            going = [(tree, decision) for tree, decision in choices if decision.fleet]
            stored = await asyncio.gather(
                *(self._store_choice(tree, decision, move=True) for tree, decision in going)
            )
            # What only the store can see (an address that is taken) is in the way of one fleet,
            # and perhaps not of the next one.
            wanting = []
            for (tree, decision), why_not in zip(going, stored, strict=True):
                if why_not:
                    self._count_out(decision.fleet)
                    refused.setdefault(tree.pool.name, set()).add(decision.fleet)
                    wanting.append(tree)
        return decided

    def _count_out(self, fleet: str) -> None:
        """Takes one pool, which could not be placed as chosen, off a fleet's count."""
        if (full := self.fleets.get(fleet)) is not None:
            self.fleets = {**self.fleets, fleet: replace(full, pools=full.pools - 1)}

    def _choices(
        self,
        wanting: Sequence[PoolTree],
        choice: Choice,
        *,
        refused: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> list[tuple[PoolTree, Decision]]:
        """Gives a choice for each pool; `refused` has the fleets, by pool, that do not come in."""
        decisions: list[tuple[PoolTree, Decision]] = []
        carried = {name: fleet.pools for name, fleet in self.fleets.items()}
        for tree in wanting:
            service_type = self._service_type(tree.pool.service_type)
            if service_type is None:
                decisions.append((tree, Decision("", NO_SERVICE_TYPE, ())))
                continue
            candidates = [
                Candidate(
                    fleet=replace(fleet, pools=carried[name]),
                    offered=self._offered(fleet),
                    live_nodes=self._live_nodes(name.removeprefix("fleets/")),
                    nodes=self._serving(name),
                )
                for name, fleet in self.fleets.items()
                if name not in refused.get(tree.pool.name, ())
            ]
            decision = choice(tree, service_type, candidates)
            if decision.fleet:
                carried[decision.fleet] += 1
            decisions.append((tree, decision))
        self.fleets = {
            name: replace(fleet, pools=carried[name]) for name, fleet in self.fleets.items()
        }
        return decisions

    def _service_type(self, name: str) -> ServiceType | None:
        """Gives the service type a pool asks for; the default one if it names none."""
        if name:
            return self.service_types.get(name)
        return next((each for each in self.service_types.values() if each.default), None)

    async def _store_choice(self, tree: PoolTree, decision: Decision, *, move: bool) -> str:
        """Stores one choice, if what it was made of still stands; gives why the fleet is refused.

        Else the change that came between has the pool looked at in the next pass: a refusal of
        the pool as it was would stand on the pool as it is, a fleet be chosen that does not fit.
        """
        pool = tree.pool.name

        def place(tx: Transaction) -> bool:
            stands = any(_specs(now) == _specs(tree) for now in trees.read(tx, [pool]))
            if stands and move:
                placements.place(
                    tx, pool, fleet=decision.fleet, reason=decision.reason, overlap=True
                )
            elif stands:
                placements.place(tx, pool, fleet=decision.fleet, reason=decision.reason)
            return stands

        try:
            if not await self._store.write(place):
                self.on_missed()
        except (NotFound, FailedPrecondition) as error:
            log.info("a pool could not be placed as chosen", pool=pool, error=error.message)
            if move:
                return error.message  # another fleet may do
            self.on_missed()
        except LbaasError:
            raise
        except Exception:
            log.exception("a pool could not be placed", pool=pool)
        return ""


def _specs(tree: PoolTree) -> set[tuple[str, int]]:
    """Gives what a tree is made of: each object with its last change that matters."""
    return {(obj.name, obj.record.spec_rev) for obj in objects_of(tree)}
