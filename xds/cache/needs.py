"""What a name needs on the client, and what may still need it there."""

from __future__ import annotations

from collections.abc import Iterator

from xds.cache.resource import Resource, is_placeholder
from xds.cache.state import State
from xds.cache.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, Key

USERS = {CLUSTER: (LISTENER, ROUTE), ROUTE: (LISTENER,), ENDPOINT: (CLUSTER,)}
"""Which types refer to a type."""


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


def cluster_missing(state: State, cluster: Key) -> Key | None:
    """Gives what a listener or route waits for that needs `cluster`; None: it is ready."""
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
        if pending is None:
            continue
        # Of refused ones those follow that served before; without any there are none to wait for.
        rejection = state.refused(target)
        real = state.last_good(target, rejection) if rejection else state.cursor.base.get(target)
        if real is None or is_placeholder(real):
            continue
        if target.name in state.placeholders or any(
            one is not None and is_placeholder(one) for one in pending.states
        ):
            return target
    return None


def runtime_unsent(state: State) -> Key | None:
    """Gives the runtime layer that a listener waits for; None: there is none to wait for.

    A listener's limits are there before it takes its first connection. Sent is enough: Envoy
    applies the messages of one stream in their order. Clients that ask for no runtime layers wait
    for none.
    """
    channel = state.channels.get(RUNTIME)
    if channel is None:
        return None
    for name in channel.subscription.names:
        key = Key(RUNTIME, name)
        pending, wanted = state.cursor.pending.get(key), state.cursor.base.get(key)
        if pending is None or wanted is None or pending.underway(wanted):
            continue
        if state.refused(key) is None:
            return key
    return None


def route_refused(state: State, listener: Resource) -> Key | None:
    """Gives routes that a listener would wait for in vain; None: there are none.

    Refused, with nothing of them there or known to be good: Envoy would open the port after 15 s
    and answer 404.
    """
    for target in listener.references:
        if target.type_url != ROUTE or not state.gated():
            continue
        rejection = state.refused(target)
        if rejection is None or state.cursor.states(target) != (None,):
            continue
        if state.last_good(target, rejection) is None:
            return target
    return None


def is_new(state: State, cluster: Key) -> bool:
    """Whether the client had nothing of this name before it was sent."""
    states = state.cursor.states(cluster)
    return None in states and all(one is None or one.known for one in states)


def surely_unused(state: State, cluster: Key) -> bool:
    """Whether no listener or route that the client holds, or may hold, refers to a cluster."""
    if any(user.type_url in (LISTENER, ROUTE) for user in state.cursor.users(cluster)):
        return False
    if is_new(state, cluster):
        return state.gated()  # nothing is led to it before it is there
    return state.gated() and not (
        (state.resumed and may_be_used(state, CLUSTER))
        or any(unknown(state, LISTENER))
        or any(unknown(state, ROUTE))
    )


def awaited(state: State, cluster: Key) -> bool:
    """Whether a listener or route that the client holds is to lead to a cluster next.

    That serves already: its cluster has to be warm, with its members checked, before it changes.
    """
    return any(
        user.type_url in (LISTENER, ROUTE) and state.cursor.states(user) != (None,)
        for user in state.cursor.base.users(cluster)
    )


def may_be_used(state: State, type_url: str) -> bool:
    """Whether a type that could name this one may still be asked for by a client that is back."""
    return any(
        state.carries(user) and not state.cursor.opened(user) for user in USERS.get(type_url, ())
    )


def unknown(state: State, type_url: str) -> Iterator[Key]:
    """Gives names that the client holds in a version of which nothing is known."""
    for key in state.foreign:
        if key.type_url != type_url:
            continue
        pending = state.cursor.pending.get(key)
        if pending is None or all(one is None or one.known for one in pending.states):
            continue
        if type_url == ROUTE and None in pending.states and state.refused(key) is not None:
            continue  # nothing good is known, and Envoy ignores a removal: nothing it is
        yield key


def restored(state: State, on: Key) -> bool:
    """Whether what is waited for are refused endpoints: those that served before are on their way.

    `cluster_missing` waits for no others that are refused.
    """
    return on.type_url == ENDPOINT and state.refused(on) is not None


def excused(state: State, key: Key, depth: int = 8) -> bool:
    """Whether a name is not confirmed only because the node refused it, or what it needs."""
    if state.refused(key) is not None or key in state.strays:
        return True
    if depth == 0:
        return False
    on = state.waits.get(key)
    if on is not None:
        return not restored(state, on) and excused(state, on, depth - 1)
    if state.covers(key) or state.cursor.base.get(key) is None:
        return False
    users = list(state.cursor.base.users(key))
    return all(excused(state, user, depth - 1) for user in users)
