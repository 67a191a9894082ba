"""What an answer of a client says about what it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xds.cache.channel import Channel, Flight
from xds.cache.cursor import Pending, States, without
from xds.cache.rejections import Rejection, cleaned, culprits, halves, own_words
from xds.cache.resource import Resource, is_placeholder, same
from xds.cache.state import State
from xds.cache.types import Key, RejectedVersion

Report = Callable[[RejectedVersion], None]


def catch_faults(state: State, report: Report) -> None:
    """A version that breaks Envoy's constraints counts as refused before it is ever sent.

    Envoy would refuse all of its response for it, of every tenant (measured).
    """
    for key in state.cursor.base.faulty():
        _catch(state, key, report)
    for key in [key for key in state.caught if state.refused(key) is None]:
        # Of types that the client does not ask for yet nothing else tells that they changed.
        state.caught.discard(key)
        state.touch(key)


def _catch(state: State, key: Key, report: Report) -> None:
    wanted = state.cursor.base.get(key)
    if wanted is None:
        return
    if state.refused(key) is not None:
        state.caught.add(key)  # by an earlier stream, or process
        return
    if not state.carries(key.type_url) or not state.certain_of(key.type_url):
        return
    states = state.cursor.states(key)
    if len(states) == 1 and same(states[0], wanted):
        return  # it came with it, and serves
    earlier = state.rejected.get(key)
    good = _servable(states, earlier)
    # What is not sent puts off nothing: a mended version may go at once.
    at = earlier.at if earlier is not None else float("-inf")
    state.rejected[key] = Rejection(wanted.version, wanted.fault, good, at)
    state.caught.add(key)
    report(RejectedVersion(key, wanted.version, wanted.fault, good))
    state.put(key)
    state.touch(key)


def _servable(states: States, earlier: Rejection | None) -> Resource | None:
    """Gives what is served instead of a refused version, if that is known and not nothing."""
    good = states[0] if len(states) == 1 else None
    if good is None and earlier is not None:
        good = earlier.last_good
    return good if good is not None and good.known and not is_placeholder(good) else None


def accepted(state: State, channel: Channel, flight: Flight, report: Report) -> None:
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
        if pending is None or name in flight.outdated:
            continue
        if pending.nonce == flight.nonce:
            holds(state, key, pending, resource, report)
        elif resource is not None:
            # Something newer is under way: what is certain is that the name is there, unless it
            # is removed meanwhile.
            _is_good(state, key, resource, report)
            if not _removed_by_any(channel, name):
                states = tuple(one for one in pending.states if one is not None) or (resource,)
                state.learn(key, states)
            if key in state.cursor.pending:
                state.put(key)


def _removed_by_any(channel: Channel, name: str) -> bool:
    return any(flight.entries.get(name, flight) is None for flight in channel.flights.values())


def holds(
    state: State, key: Key, pending: Pending, resource: Resource | None, report: Report
) -> None:
    """The client holds what it was sent last of a name."""
    pending.nonce = ""
    if pending.then and pending.exact:  # it holds what was wanted until then
        pending.since, pending.then = pending.then, 0
        state.settled.append(key)
    _is_good(state, key, resource, report)
    state.learn(key, (resource,))
    if key in state.cursor.pending:
        state.put(key)


def _is_good(state: State, key: Key, resource: Resource | None, report: Report) -> None:
    """What was just accepted is what is served if the client refuses again what it refused."""
    rejection = state.rejected.get(key)
    if rejection is None or resource is None or is_placeholder(resource):
        return
    if resource.version == rejection.version or same(resource, rejection.last_good):
        return
    state.rejected[key] = replace(rejection, last_good=resource)
    if state.refused(key) is not None:
        report(RejectedVersion(key, rejection.version, rejection.message, resource))


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
                channel.set_apart(half)
        else:
            guilty = changed or list(flight.entries)
    for name, resource in flight.entries.items():
        key = Key(channel.type_url, name)
        pending = state.cursor.pending.get(key)
        if pending is not None and pending.nonce == flight.nonce:
            pending.nonce = ""
        if name in guilty:
            channel.suspects.discard(name)
            _reject(state, key, resource, own_words(name, guilty, text), now, report)
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
    earlier = state.rejected.get(key)
    version = resource.version if resource else ""
    spoilt = earlier is not None and resource is not None and same(earlier.last_good, resource)
    if spoilt and earlier is not None and not same(cursor.base.get(key), resource):
        # What was served instead is refused too: the wanted version stays the rejected one.
        state.rejected[key] = Rejection(earlier.version, earlier.message, None, now)
    else:
        earlier = None if spoilt else earlier
        good = _servable(states, earlier)
        state.rejected[key] = Rejection(version, text, good, now)
        report(RejectedVersion(key, version, text, good))
    if resource is not None:
        cursor.hold(key, states)
    state.settle(key)
    if key in cursor.pending:
        state.put(key)
    state.touch(key)
