"""Rules for changes: what may never change, and what a change renders anew."""

import dataclasses
from collections.abc import Mapping

from lbaas.model.errors import Violation
from lbaas.model.objects import (
    NO_LABELS,
    Fleet,
    HealthMonitor,
    Member,
    Pool,
    Record,
    ServiceType,
    StoredObject,
    Vip,
)

IMMUTABLE: Mapping[type[StoredObject], tuple[str, ...]] = {
    Pool: ("protocol",),
    Member: ("address", "port"),
    HealthMonitor: ("type",),
    Vip: ("address", "port", "protocol"),
    ServiceType: (),
    Fleet: ("kind",),
}
"""The fields that keep, for an object's whole life, what it was created with.

v1 could update none of these either; another address or port is another server, or another VIP.
"""


def changed_immutables(old: StoredObject, new: StoredObject) -> tuple[Violation, ...]:
    """Gives a violation for each immutable field that differs; both are of one kind.

    A VIP's allocated address counts as given: a change that clears it must fill it in again.
    """
    return tuple(
        Violation(
            name,
            f"cannot change from {getattr(old, name)!s} to {getattr(new, name)!s}: leave it out"
            " of the update, or create another object",
            "IMMUTABLE",
        )
        for name in IMMUTABLE[type(old)]
        if getattr(old, name) != getattr(new, name)
    )


def rendered(obj: StoredObject) -> StoredObject:
    """Gives the part of an object that enters translation, to compare before and after.

    All but what is for people (display name, description, labels) and what the server puts out
    (record, placement, counts, drains). The order in which a pool lists its monitors means nothing.
    """
    plain = dataclasses.replace(
        obj, display_name="", description="", labels=NO_LABELS, record=Record()
    )
    if isinstance(plain, Pool):
        monitors = tuple(sorted(plain.health_monitors))
        return dataclasses.replace(plain, placement=None, health_monitors=monitors)
    if isinstance(plain, Vip):
        return dataclasses.replace(plain, address_in_use_by="")
    if isinstance(plain, Member):
        return dataclasses.replace(plain, drain_end=None, drained=False)
    if isinstance(plain, Fleet):
        return dataclasses.replace(plain, pools=0, removals_allowed_rev=0)
    return plain
