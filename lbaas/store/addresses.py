"""VIP addresses of a fleet: who holds which, who gets one, who waits for one.

An address and port belong to one VIP of a fleet, from the moment the VIP's pool is placed there
until the VIP is purged; of two fleets, while the pool moves from one to the other. A VIP that is
being deleted gives its address to a new one of the same project at once: every Envoy is told of
both together, so that one listener replaces the other. Who comes too late is marked, not refused:
its status says so, and it gets the address when it comes free.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

from sqlalchemy import delete, insert, select, true

from lbaas.model.enums import FleetKind
from lbaas.model.errors import AlreadyExists
from lbaas.model.names import VIP, project_of
from lbaas.model.objects import Fleet, Vip
from lbaas.model.rules import check_vip_address, in_ranges, is_loopback
from lbaas.store.feed import Action
from lbaas.store.shelf import chunks
from lbaas.store.shelves import FLEETS, VIPS
from lbaas.store.tables import addresses, placements, vips
from lbaas.store.transaction import Transaction


def lacking(fleet: Fleet, vip: Vip) -> str:
    """Gives why a VIP's address cannot be on a fleet whoever holds it, or ""."""
    if not vip.address:
        if fleet.vip_ranges:
            return ""
        return "vip_ranges (the fleet allocates no addresses: give the VIP one)"
    if fleet.kind is FleetKind.SIDECAR and not is_loopback(vip.address):
        return f"address={vip.address} (its nodes bind loopback addresses only)"
    if fleet.vip_ranges and not in_ranges(vip.address, fleet.vip_ranges):
        return f"address={vip.address} (its VIP ranges are {', '.join(fleet.vip_ranges)})"
    return ""


def claim(tx: Transaction, carrying: Sequence[Fleet], vip: Vip) -> Vip:
    """Gives the VIP with its address on the fleets, allocated if it has none; not stored yet.

    A VIP of the same project that is being deleted gives up the address for it. The row of the VIP
    must be there, or come before `hold` is called.

    Args:
        tx: the transaction.
        carrying: the fleet that the VIP's pool is placed on, then the one that it leaves, if any.
        vip: the VIP, with an address that the former can have.

    Raises:
        AlreadyExists: another VIP holds the address and port.
    """
    _inherit(tx, carrying, vip)
    wanted = settled(tx, carrying, vip)
    if wanted.address and wanted.address_in_use_by:
        raise AlreadyExists(
            VIP.title,
            vip.name,
            f"{vip.address}:{vip.port} is taken on {carrying[0].name}; choose another address or"
            " port",
            reason="ADDRESS_IN_USE",
        )
    return wanted


def _inherit(tx: Transaction, carrying: Iterable[Fleet], vip: Vip) -> None:
    """Has those of the VIP's project that are being deleted let go of its address on the fleets.

    Another project's goes on holding it until every Envoy has let go of its listener.
    """
    for fleet in carrying:
        leaving = tx.connection.execute(
            select(addresses.c.vip)
            .join(vips, vips.c.name == addresses.c.vip)
            .where(
                addresses.c.fleet == fleet.name,
                addresses.c.address == vip.address,
                addresses.c.port == vip.port,
                vips.c.project == project_of(vip.name),
                vips.c.deleted_rev != 0,
            )
        )
        release(tx, leaving.scalars().all(), fleet=fleet.name)


def settled(tx: Transaction, carrying: Sequence[Fleet], vip: Vip) -> Vip:
    """Gives the VIP with an address of the first fleet, or marked with what is in the way.

    The address must be free on all the fleets.
    """
    if not vip.address:
        address = _lowest_free(tx, carrying)
        if not address:
            words = f"every address of {', '.join(carrying[0].vip_ranges)} is taken"
            return dataclasses.replace(vip, address_in_use_by=words)
        return dataclasses.replace(vip, address=address, address_in_use_by="")
    holders = tx.connection.execute(
        select(addresses.c.vip).where(
            addresses.c.fleet.in_([fleet.name for fleet in carrying]),
            addresses.c.address == vip.address,
            addresses.c.port == vip.port,
            addresses.c.vip != vip.name,
        )
    ).scalars()
    return dataclasses.replace(vip, address_in_use_by=next(iter(holders), ""))


def hold(tx: Transaction, carrying: Iterable[Fleet], vip: Vip, *, allocated: bool) -> None:
    """Notes that a VIP holds its address on fleets; does nothing for one that is marked."""
    if vip.address_in_use_by or not vip.address:
        return
    for fleet in carrying:
        tx.connection.execute(
            insert(addresses).values(
                fleet=fleet.name,
                address=vip.address,
                port=vip.port,
                vip=vip.name,
                allocated=allocated,
            )
        )


def release(tx: Transaction, names: Iterable[str], *, fleet: str = "") -> frozenset[str]:
    """Lets go of what some VIPs hold, on one fleet or, with "", on all.

    Gives those whose address was the fleet's choice.
    """
    allocated: set[str] = set()
    for keys in chunks(names):
        mine = [addresses.c.vip.in_(keys), *([addresses.c.fleet == fleet] if fleet else [])]
        allocated.update(
            tx.connection.execute(
                select(addresses.c.vip).where(*mine, addresses.c.allocated == true())
            ).scalars()
        )
        tx.connection.execute(delete(addresses).where(*mine))
    return frozenset(allocated)


def is_allocated(tx: Transaction, name: str) -> bool:
    """Tells whether a VIP holds an address that a fleet chose."""
    chosen = select(addresses.c.vip).where(addresses.c.vip == name, addresses.c.allocated == true())
    return tx.connection.execute(chosen.limit(1)).one_or_none() is not None


def held_on(tx: Transaction, names: Iterable[str]) -> frozenset[str]:
    """Gives the fleets on which some VIPs hold addresses."""
    wanted = list(names)
    return frozenset(
        tx.connection.execute(
            select(addresses.c.fleet).where(addresses.c.vip.in_(wanted)).distinct()
        ).scalars()
    )


def retry(tx: Transaction, fleet_name: str) -> None:
    """Tries again for the fleet's VIPs that wait for an address; takes a revision if one gets it.

    Called when an address came free or the fleet's ranges grew.
    """
    fleet = FLEETS.find(tx, fleet_name)
    if fleet is None:
        return
    # A pool that moves is served by two fleets: its VIPs wait until it has left the other.
    on_fleet = select(placements.c.pool).where(
        placements.c.fleet == fleet_name, placements.c.leaving == ""
    )
    waiting = VIPS.where(
        tx, vips.c.address_in_use_by != "", vips.c.deleted_rev == 0, vips.c.pool.in_(on_fleet)
    )
    for vip in waiting:
        if lacking(fleet, vip):
            continue
        better = settled(tx, (fleet,), vip)
        if better.address_in_use_by:
            continue
        record = dataclasses.replace(vip.record, spec_rev=tx.next_revision())
        VIPS.put(tx, dataclasses.replace(better, record=record))
        hold(tx, (fleet,), better, allocated=not vip.address)
        tx.record(vip.name, vip.pool, Action.UPDATED)


def _lowest_free(tx: Transaction, carrying: Sequence[Fleet]) -> str:
    """Gives the lowest address of the first fleet's ranges that no VIP holds on any port, or "".

    On none of the fleets, that is.
    """
    names = [fleet.name for fleet in carrying]
    taken = frozenset(
        tx.connection.execute(
            select(addresses.c.address).where(addresses.c.fleet.in_(names)).distinct()
        ).scalars()
    )
    for address in _usable(carrying[0]):
        text = str(address)
        if text not in taken and not check_vip_address("address", text):
            return text
    return ""


def _usable(fleet: Fleet) -> Iterator[IPv4Address | IPv6Address]:
    for cidr in fleet.vip_ranges:
        yield from ip_network(cidr).hosts()
