"""Verdicts on their way to the store: together as a rule, apart if one of them is bad."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

import structlog

from lbaas.model.errors import LbaasError
from lbaas.model.objects import Node, Rejection, Tombstone
from lbaas.store import nodes as stored_nodes
from lbaas.store import tombstones, verdicts
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tidegate.rendering import Place
from xds.cache.types import Key

log = structlog.get_logger("tidegate.feedback")


@dataclass(slots=True)
class Outbox:
    """Verdicts that wait for the next write. A later one about the same thing replaces it."""

    live: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    rejected: dict[tuple[str, str, Key], Rejection] = field(default_factory=dict)
    cleared: set[tuple[str, str, Key]] = field(default_factory=set)
    nodes: dict[str, Node] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    buried: dict[Place, int] = field(default_factory=dict)
    unburied: set[Place] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Tells whether there is anything to write."""
        return any(getattr(self, each.name) for each in fields(self))

    def apart(self) -> Iterator["Outbox"]:
        """Gives each verdict by itself."""
        yield from (Outbox(nodes={name: node}) for name, node in self.nodes.items())
        yield from (Outbox(forgotten={name}) for name in self.forgotten)
        yield from (Outbox(buried={place: rev}) for place, rev in self.buried.items())
        yield from (Outbox(unburied={place}) for place in self.unburied)
        yield from (Outbox(cleared={each}) for each in self.cleared)
        yield from (Outbox(rejected={each: said}) for each, said in self.rejected.items())
        yield from (Outbox(live={name: rev}) for name, rev in self.live.items())
        yield from (Outbox(gone={name: rev}) for name, rev in self.gone.items())

    def followed_by(self, newer: "Outbox") -> "Outbox":
        """Gives these verdicts, which could not be stored, with newer ones over them."""
        return Outbox(
            live=self.live | newer.live,
            gone=self.gone | newer.gone,
            rejected={k: v for k, v in self.rejected.items() if k not in newer.cleared}
            | newer.rejected,
            cleared={k for k in self.cleared if k not in newer.rejected} | newer.cleared,
            nodes={k: v for k, v in self.nodes.items() if k not in newer.forgotten} | newer.nodes,
            forgotten={k for k in self.forgotten if k not in newer.nodes} | newer.forgotten,
            buried={k: v for k, v in self.buried.items() if k not in newer.unburied} | newer.buried,
            unburied={k for k in self.unburied if k not in newer.buried} | newer.unburied,
        )

    def about(self) -> list[str]:
        """Gives the names that it speaks of, for a log: nothing of what is said of them."""
        refused = (key.name for _, _, key in {*self.rejected, *self.cleared})
        places = (place.key.name for place in {*self.buried, *self.unburied})
        named = {*self.live, *self.gone, *self.nodes, *self.forgotten}
        return sorted({*named, *refused, *places})


async def store_verdicts(store: Store, outbox: Outbox) -> Sequence[Outbox]:
    """Stores verdicts together; if that fails by a defect, apart. Gives what was stored.

    Raises:
        LbaasError: the store is out of reach; nothing, or some of it, was stored.
    """
    try:
        await store.write(lambda tx: _write(tx, outbox))
    except LbaasError:
        raise
    except Exception:
        log.exception("verdicts could not be stored together; storing each by itself")
    else:
        return [outbox]
    stored = []
    for each in outbox.apart():
        try:
            await store.write(lambda tx, each=each: _write(tx, each))  # type: ignore[misc]
        except LbaasError:
            raise
        except Exception:
            # It would fail again: its object stays pending, and all others go on.
            log.exception("a verdict could not be stored", about=each.about())
        else:
            stored.append(each)
    return stored


def _write(tx: Transaction, outbox: Outbox) -> None:
    """Puts one batch of verdicts into the store, in one transaction."""
    stored_nodes.save(tx, tuple(outbox.nodes.values()))
    stored_nodes.forget(tx, outbox.forgotten)
    tombstones.drop(tx, map(_tombstone_key, outbox.unburied))
    tombstones.save(
        tx,
        [
            Tombstone(
                fleet=f"fleets/{place.fleet}",
                type_url=place.key.type_url,
                resource=place.key.name,
                rev=rev,
            )
            for place, rev in outbox.buried.items()
        ],
    )
    verdicts.record(
        tx,
        live=outbox.live,
        gone=tuple(outbox.gone),
        rejected=tuple(outbox.rejected.values()),
        cleared=tuple(
            (fleet, f"{fleet}/nodes/{node}", key.type_url, key.name)
            for fleet, node, key in outbox.cleared
        ),
    )


def _tombstone_key(place: Place) -> tombstones.Key:
    return f"fleets/{place.fleet}", place.key.type_url, place.key.name
