"""Addresses: only one listener at a time may bind one."""

from __future__ import annotations

from xds.cache.cursor import Pending
from xds.cache.needs import excused, unknown
from xds.cache.resource import Resource
from xds.cache.state import State
from xds.cache.types import ADDRESS, LISTENER, Key


def address_taken(state: State, key: Key, address: Key) -> Key | None:
    """Gives the listener that has to give up an address first; None: it is free, or becomes so."""
    for holder in state.cursor.users(address):
        if holder == key:
            continue
        wanted = state.cursor.base.get(holder)
        if wanted is None:
            continue  # it is removed in the same response: see `leaving_with`
        if address not in wanted.references and _waits_in_circle(state, holder, key):
            continue
        return holder
    return None


def _waits_in_circle(state: State, holder: Key, key: Key) -> bool:
    """Whether two listeners that exchange addresses would wait for each other for ever."""
    seen, at = set(), state.waits.get(holder)
    while at is not None and at not in seen:
        if at == key:
            return True
        seen.add(at)
        at = state.waits.get(at)
    return False


def leaving_with(state: State, listener: Resource) -> list[Key]:
    """Gives the listeners to be removed in the response that brings the one that replaces them.

    Adding first is refused by Envoy (duplicate address), removing first leaves a gap in which
    connections are refused (156 of 1141, measured). Of two that exchange their addresses one has
    to leave first; it comes back with its new address. A new listener may take the address of one
    of which no more than the name is known: all of those that are to go leave with it.
    """
    leaving = []
    if not state.cursor.present(listener.key):
        leaving += [
            holder
            for holder in unknown(state, LISTENER)
            if state.cursor.base.get(holder) is None
            and holder not in state.strays
            and not state.cursor.pending[holder].underway(None)
        ]
    for target in listener.references:
        if target.type_url != ADDRESS:
            continue
        for holder in state.cursor.users(target):
            if holder == listener.key:
                continue
            if state.cursor.base.get(holder) is not None and not _waits_in_circle(
                state, holder, listener.key
            ):
                continue
            pending = state.cursor.pending.get(holder)
            if pending is not None and not pending.underway(None):
                leaving.append(holder)
    return leaving


def successor(state: State, pending: Pending) -> Key | None:
    """Gives the listener that takes over the address, while it merely waits for its clusters."""
    for held in pending.states:
        for target in held.references if held else ():
            if target.type_url != ADDRESS:
                continue
            for other in state.cursor.base.users(target):
                if other in state.waits and not excused(state, other):
                    return other
    return None


def may_be_succeeded(state: State, pending: Pending) -> bool:
    """Whether a new listener waits that may take over the address of one that is not known."""
    if all(held is None or held.known for held in pending.states):
        return False
    return any(
        other.type_url == LISTENER and not state.cursor.present(other) and not excused(state, other)
        for other in state.waits
    )
