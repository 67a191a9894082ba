"""Whether a name may be sent now, and if not, what it waits for.

Waits follow the references (routes and listeners wait for clusters), removals run against them
(a cluster's waits until nothing that the client may hold names it). Snapshots are closed under
reference and a refusal ends a wait, so there is no deadlock; and no deadline ever sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from xds.cache.cursor import Pending
from xds.cache.rejections import RETRY_SECONDS
from xds.cache.resource import Resource, empty_endpoints, is_placeholder, same
from xds.cache.state import SETTLING, State
from xds.cache.types import ADDRESS, CLUSTER, ENDPOINT, LISTENER, ROUTE, Key


class Verdict(Enum):
    """What to do about a name."""

    SEND = "send"
    NOTHING = "nothing"
    WAIT = "wait"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do about a name.

    Attributes:
        verdict: what.
        resource: what to send; None is a removal.
        on: the name to wait for.
        at: when to look again.
    """

    verdict: Verdict
    resource: Resource | None = None
    on: Key | None = None
    at: float = 0.0


NOTHING = Step(Verdict.NOTHING)


def step(state: State, key: Key, now: float, *, again: bool) -> Step:
    """Gives what to do about a name.

    Args:
        state: the stream.
        key: the name.
        now: the time.
        again: send it even if the client holds it (it asked, or its cluster was sent).
    """
    pending = state.cursor.pending.get(key)
    if not state.covers(key):
        if pending is not None and state.cursor.base.get(key) is None and not pending.nonce:
            state.learn(key, (None,))
        return NOTHING
    wanted = state.cursor.base.get(key)
    warming = again and key.type_url == ENDPOINT and _sent_as_cluster(state, key)
    if wanted is None and warming:
        return _stand_in(state, key)
    if pending is None:
        return Step(Verdict.SEND, wanted) if again else NOTHING
    rejection = state.refused(key)
    if rejection is not None:
        wanted = state.last_good(key, rejection)
        if wanted is None and warming:
            return _stand_in(state, key)
        if wanted is None:
            held = _certain(pending)
            return Step(Verdict.SEND, held) if again and held else NOTHING
    elif not again and not pending.nonce and state.settle(key):
        return NOTHING
    if not again and _underway(pending, wanted):
        return NOTHING
    earlier = state.rejected.get(key)
    if rejection is None and earlier is not None and now < earlier.at + RETRY_SECONDS:
        if warming:
            return _stand_in(state, key)
        return Step(Verdict.LATER, at=earlier.at + RETRY_SECONDS)
    if wanted is None:
        return _removal(state, key, pending, now, again=again)
    return _addition(state, key, pending, wanted, again=again)


def _stand_in(state: State, key: Key) -> Step:
    """Gives the endpoints for a cluster that was sent while its own are gone or refused.

    Without any it would warm, and withhold the answers of all clusters, for 15 s (Envoy ignores
    a removal). What it holds serves on; a cluster that never had any is given none; what it holds
    and is not known is left alone.
    """
    pending = state.cursor.except_for(key, state.cursor.base.revision)
    held = [one for one in pending.states if one is not None]
    if held and not held[0].known:
        return NOTHING
    return Step(Verdict.SEND, held[0] if held else empty_endpoints(key.name))


def _underway(pending: Pending, wanted: Resource | None) -> bool:
    if pending.nonce:
        placeholder = pending.sent is not None and is_placeholder(pending.sent)
        return placeholder or same(pending.sent, wanted)
    return len(pending.states) == 1 and same(pending.states[0], wanted)


def _certain(pending: Pending) -> Resource | None:
    """Gives what the client certainly holds, if its content is known."""
    if len(pending.states) != 1 or pending.states[0] is None or not pending.states[0].known:
        return None
    return pending.states[0]


def _addition(state: State, key: Key, pending: Pending, wanted: Resource, *, again: bool) -> Step:
    if key.type_url == ENDPOINT:
        # Rule 44: endpoints of a cluster that the client does not hold only when it asks.
        if not again and state.carries(CLUSTER) and not _cluster_held(state, key):
            return NOTHING
        if key.name in state.placeholders:
            return Step(Verdict.SEND, empty_endpoints(key.name))
        return Step(Verdict.SEND, wanted)
    if key.type_url in (LISTENER, ROUTE):
        on = blocked(state, wanted)
        if on is not None:
            # Asked for by name: it is given what it holds, or what its listener came with.
            instead = _certain(pending) or pending.promise
            if again and instead is not None and blocked(state, instead) is None:
                return Step(Verdict.SEND, instead)
            return Step(Verdict.WAIT, on=on)
    return Step(Verdict.SEND, wanted)


def _sent_as_cluster(state: State, key: Key) -> bool:
    return any(True for _ in state.cursor.users(key))


def _cluster_held(state: State, key: Key) -> bool:
    if _sent_as_cluster(state, key):
        return True
    wanted = list(state.cursor.base.users(key))
    return not wanted or any(state.cursor.states(cluster) != (None,) for cluster in wanted)


def clusters(state: State, resource: Resource) -> Iterator[Key]:
    """Gives the clusters that a listener or route needs, directly or through its routes."""
    for target in resource.references:
        if target.type_url == CLUSTER:
            yield target
        elif target.type_url == ROUTE:
            route = state.cursor.base.get(target)
            for one in route.references if route else ():
                if one.type_url == CLUSTER:
                    yield one


def blocked(state: State, resource: Resource) -> Key | None:
    """Gives what a listener or route has to wait for; None: nothing."""
    if state.gated():
        for cluster in clusters(state, resource):
            on = _cluster_missing(state, cluster)
            if on is not None:
                return on
    for target in resource.references:
        if target.type_url == ADDRESS:
            on = _address_taken(state, resource.key, target)
            if on is not None:
                return on
    if resource.key.type_url == LISTENER and state.cursor.states(resource.key) == (None,):
        # A listener in a version that is not known may bind the address of a new one.
        return next((on for on in _unknown(state, LISTENER) if not excused(state, on)), None)
    return None


def _cluster_missing(state: State, cluster: Key) -> Key | None:
    wanted = state.cursor.base.get(cluster)
    states = state.cursor.states(cluster)
    if wanted is None:
        # Neither wanted nor ever sent: it is a cluster of the client's own bootstrap.
        return cluster if any(one is not None for one in states) else None
    if None in states:
        return cluster
    # A new cluster is sent without members first: nobody is to be led to it before they follow.
    for target in wanted.references:
        pending = state.cursor.pending.get(target)
        if pending is None or state.refused(target) is not None:
            continue
        real = state.cursor.base.get(target)
        if real is None or is_placeholder(real):
            continue
        if target.name in state.placeholders or any(
            one is not None and is_placeholder(one) for one in pending.states
        ):
            return target
    return None


def _address_taken(state: State, key: Key, address: Key) -> Key | None:
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


def surely_unused(state: State, cluster: Key) -> bool:
    """Whether no listener or route that the client holds, or may hold, refers to a cluster."""
    if any(user.type_url in (LISTENER, ROUTE) for user in state.cursor.users(cluster)):
        return False
    if None in state.cursor.states(cluster):
        return state.gated()  # it is new, and nothing is led to it before it is there
    return state.gated() and not (
        (state.resumed and _may_be_used(state, CLUSTER))
        or any(_unknown(state, LISTENER))
        or any(_unknown(state, ROUTE))
    )


def leaving_with(state: State, listener: Resource) -> list[Key]:
    """Gives the listeners to be removed in the response that brings the one that replaces them.

    Adding first is refused by Envoy (duplicate address), removing first leaves a gap in which
    connections are refused (156 of 1141, measured). Of two that exchange their addresses one has
    to leave first; it comes back with its new address.
    """
    leaving = []
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
            if pending is not None and not _underway(pending, None):
                leaving.append(holder)
    return leaving


def _removal(state: State, key: Key, pending: Pending, now: float, *, again: bool) -> Step:
    if pending.states == (None,):
        return Step(Verdict.SEND, None) if again else NOTHING
    if key.type_url == LISTENER:
        successor = _successor(state, pending)
        return Step(Verdict.SEND, None) if successor is None else Step(Verdict.WAIT, on=successor)
    settled_at = state.began + SETTLING
    for user in state.cursor.users(key):
        if state.cursor.opened(user.type_url):
            return Step(Verdict.WAIT, on=user)
        if now < settled_at:
            return Step(Verdict.LATER, at=settled_at)
    if state.resumed and now < settled_at and _may_be_used(state, key.type_url):
        return Step(Verdict.LATER, at=settled_at)
    for user_type in _USERS.get(key.type_url, ()):
        for unknown in _unknown(state, user_type):
            return Step(Verdict.WAIT, on=unknown)
    return Step(Verdict.SEND, None)


_USERS = {CLUSTER: (LISTENER, ROUTE), ROUTE: (LISTENER,), ENDPOINT: (CLUSTER,)}


def _may_be_used(state: State, type_url: str) -> bool:
    """Whether a type that could name this one may still be asked for by a client that is back."""
    return any(
        state.carries(user) and not state.cursor.opened(user) for user in _USERS.get(type_url, ())
    )


def _unknown(state: State, type_url: str) -> Iterator[Key]:
    """Gives names that the client holds in a version of which nothing is known."""
    for key in state.foreign:
        if key.type_url != type_url:
            continue
        pending = state.cursor.pending.get(key)
        if pending is not None and any(one is not None and not one.known for one in pending.states):
            yield key


def _successor(state: State, pending: Pending) -> Key | None:
    """Gives the listener that takes over the address, while it merely waits for its clusters."""
    for held in pending.states:
        for target in held.references if held else ():
            if target.type_url != ADDRESS:
                continue
            for other in state.cursor.base.users(target):
                if other in state.waits and not excused(state, other):
                    return other
    return None


def excused(state: State, key: Key, depth: int = 8) -> bool:
    """Whether a name is not confirmed only because the node refused it, or what it needs."""
    if state.refused(key) is not None:
        return True
    if depth == 0:
        return False
    on = state.waits.get(key)
    if on is not None:
        return excused(state, on, depth - 1)
    if state.covers(key) or state.cursor.base.get(key) is None:
        return False
    users = list(state.cursor.base.users(key))
    return all(excused(state, user, depth - 1) for user in users)
