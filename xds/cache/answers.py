"""What an answer of a client says about what it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xds.cache.channel import Channel, Flight
from xds.cache.cursor import States, without
from xds.cache.rejections import Rejection, cleaned, culprits, halves
from xds.cache.resource import Resource, is_placeholder, same
from xds.cache.state import State
from xds.cache.types import Key, RejectedVersion

Report = Callable[[RejectedVersion], None]


def accepted(state: State, channel: Channel, flight: Flight) -> None:
    """An ACK confirms the names of its response."""
    channel.suspects.difference_update(flight.entries)
    for name, resource in flight.kept.items():
        key = Key(channel.type_url, name)
        pending = state.cursor.pending.get(key)
        if pending is not None and not pending.nonce:
            state.learn(key, (resource,))
            if key in state.cursor.pending:
                state.put(key)
    for name, resource in flight.entries.items():
        key = Key(channel.type_url, name)
        pending = state.cursor.pending.get(key)
        if pending is None:
            continue
        if pending.nonce == flight.nonce:
            pending.nonce = ""
            if pending.then and pending.exact:  # it holds what was wanted until then
                pending.since, pending.then = pending.then, 0
                state.settled.append(key)
            states: States = (resource,)
        elif resource is not None:
            # Something newer is under way: what is certain is that the name is there.
            states = tuple(one for one in pending.states if one is not None) or (resource,)
        else:
            continue
        _is_good(state, key, resource)
        state.learn(key, states)
        if key in state.cursor.pending:
            state.put(key)


def _is_good(state: State, key: Key, resource: Resource | None) -> None:
    """What was just accepted is what is served if the client refuses again what it refused."""
    rejection = state.rejected.get(key)
    if rejection is None or resource is None or is_placeholder(resource):
        return
    if resource.version != rejection.version:
        state.rejected[key] = replace(rejection, last_good=resource)


def refused(
    state: State, channel: Channel, flight: Flight, message: str, now: float, report: Report
) -> None:
    """A NACK rejects the names in its text; of all others it says nothing, they are sent again.

    Envoy applies the good resources of a response that it refuses for a bad one, or none of them,
    depending on the fault: so what is not named is unknown.
    """
    text = cleaned(message)
    guilty = culprits(flight.entries, text)
    if not guilty:
        changed = [name for name, resource in flight.entries.items() if resource is not None]
        if len(changed) > 1:
            for half in halves(changed):
                channel.suspects.update(half)
                channel.groups.append(half)
                channel.grouped.update(half)
        else:
            guilty = changed or list(flight.entries)
    for name, resource in flight.entries.items():
        key = Key(channel.type_url, name)
        pending = state.cursor.pending.get(key)
        if pending is not None and pending.nonce == flight.nonce:
            pending.nonce = ""
        if name in guilty:
            channel.suspects.discard(name)
            _reject(state, key, resource, text, now, report)
        elif pending is not None and name not in channel.grouped:
            state.put(key)


def _reject(
    state: State, key: Key, resource: Resource | None, text: str, now: float, report: Report
) -> None:
    cursor = state.cursor
    if resource is None and cursor.base.get(key) is None and key not in cursor.pending:
        return  # it was told that a name does not exist, and did not like it
    pending = cursor.except_for(key, cursor.base.revision)
    states = pending.states
    if len(states) > 1:  # one alone: it was sent what it holds already, and holds it still
        states = without(states, resource)
    good = states[0] if len(states) == 1 else None
    earlier = state.rejected.get(key)
    version = resource.version if resource else ""
    if earlier is not None and same(earlier.last_good, resource) and resource is not None:
        # What was served instead is refused too: the wanted version stays the rejected one.
        state.rejected[key] = Rejection(earlier.version, earlier.message, None, now)
    else:
        if good is None and earlier is not None:
            good = earlier.last_good
        if good is not None and (not good.known or is_placeholder(good)):
            good = None
        state.rejected[key] = Rejection(version, text, good, now)
        report(RejectedVersion(key, version, text, good))
    if resource is not None:
        cursor.hold(key, states)
    state.settle(key)
    if key in cursor.pending:
        state.put(key)
    state.touch(key)
