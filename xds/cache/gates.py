"""Whether a name may be sent now, and if not, what it waits for.

Waits follow the references (routes and listeners wait for clusters), removals run against them
(a cluster's waits until nothing that the client may hold names it). Snapshots are closed under
reference and a refusal ends a wait, so there is no deadlock; and no deadline ever sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xds.cache.addresses import address_taken, leaving_with, may_be_succeeded, successor
from xds.cache.cursor import Pending
from xds.cache.needs import (
    USERS,
    cluster_missing,
    clusters,
    excused,
    is_new,
    may_be_used,
    route_refused,
    runtime_unsent,
    unknown,
)
from xds.cache.rejections import RETRY_SECONDS
from xds.cache.resource import Resource, empty_endpoints
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
    if state.refused(key) is not None:
        return _refused(state, key, pending, now, again=again)
    if not again and not pending.nonce and state.settle(key):
        return NOTHING
    if not again and pending.underway(wanted):
        return NOTHING
    earlier = state.rejected.get(key)
    if earlier is not None and wanted is not None and now < earlier.at + RETRY_SECONDS:
        later = Step(Verdict.LATER, at=earlier.at + RETRY_SECONDS)
        return _stand_in(state, key) if warming else later
    return _wanted(state, key, pending, now, again=again)


def _wanted(state: State, key: Key, pending: Pending, now: float, *, again: bool) -> Step:
    wanted = state.cursor.base.get(key)
    if wanted is None:
        return _removal(state, key, pending, now, again=again)
    return _addition(state, key, pending, wanted, now, again=again)


def blocked(state: State, resource: Resource) -> Key | None:
    """Gives what a listener or route has to wait for; None: nothing."""
    if state.gated():
        for cluster in clusters(state, resource):
            on = cluster_missing(state, cluster)
            if on is not None:
                return on
    if resource.key.type_url == LISTENER:
        on = runtime_unsent(state) or route_refused(state, resource)
        if on is not None:
            return on
    for target in resource.references:
        if target.type_url == ADDRESS:
            on = address_taken(state, resource.key, target)
            if on is not None:
                return on
    if resource.key.type_url == LISTENER and not state.cursor.present(resource.key):
        return _in_the_way(state, resource)
    return None


def _in_the_way(state: State, listener: Resource) -> Key | None:
    """Gives a listener in a version that is not known: it may bind the address of a new one.

    Not one that is known to leave in the same response. One that the client may have and does not
    list waits for those alone that it lists, or two of them would wait for each other.
    """
    leaving = leaving_with(state, listener)
    new = state.cursor.states(listener.key) == (None,)
    found = (
        on
        for on in unknown(state, LISTENER)
        if on not in leaving and on != listener.key and (new or state.cursor.present(on))
    )
    return next((on for on in found if not excused(state, on)), None)


def _refused(state: State, key: Key, pending: Pending, now: float, *, again: bool) -> Step:
    """A refused version is not sent again; what it replaced is, where it is missing."""
    rejection = state.refused(key)
    good = state.last_good(key, rejection) if rejection is not None else None
    if good is not None:
        if not again and pending.underway(good):
            return NOTHING
        return _addition(state, key, pending, good, now, again=again)
    if not again:
        return _made_sure(state, key, pending, now) or NOTHING
    if key.type_url == ENDPOINT and _sent_as_cluster(state, key):
        return _stand_in(state, key)
    held = _certain(pending)
    if held is not None or pending.states == (None,):
        return Step(Verdict.SEND, held)  # nothing, too, is an answer to who asks (rule 39)
    return NOTHING


def _stand_in(state: State, key: Key) -> Step:
    """Gives the endpoints for a cluster that was sent while its own are gone or refused.

    Without any it would warm, and withhold the answers of all clusters, for 15 s (Envoy ignores
    a removal). What it holds serves on; a cluster that never had any is given none; what it holds
    and is not known is left alone.
    """
    pending = state.cursor.except_for(key, state.cursor.base.revision)
    held = [one for one in pending.states if one is not None]
    if pending.nonce and pending.sent is not None:
        return Step(Verdict.SEND, pending.sent)
    if not held or all(is_new(state, cluster) for cluster in state.cursor.users(key)):
        return Step(Verdict.SEND, empty_endpoints(key.name))
    return Step(Verdict.SEND, held[0]) if held[0].known else NOTHING


def _certain(pending: Pending) -> Resource | None:
    """Gives what the client certainly holds, if its content is known."""
    if len(pending.states) != 1 or pending.states[0] is None or not pending.states[0].known:
        return None
    return pending.states[0]


def _made_sure(state: State, key: Key, pending: Pending, now: float) -> Step | None:
    """Removes what a client may hold in a version that is not known, if it is to be given none.

    What it may be is not known, so clusters that are gone would wait for it, of all tenants, until
    its own tenant mends what was refused. Only where it may hold nothing: it does not list it.
    """
    if key.type_url not in (LISTENER, CLUSTER) or None not in pending.states:
        return None
    if all(one is None or one.known for one in pending.states):
        return None
    return NOTHING if pending.underway(None) else _removal(state, key, pending, now, again=False)


def _addition(
    state: State, key: Key, pending: Pending, wanted: Resource, now: float, *, again: bool
) -> Step:
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
            instead = _certain(pending) or _promised(state, pending)
            if again and instead is not None and blocked(state, instead) is None:
                return Step(Verdict.SEND, instead)
            sure = _made_sure(state, key, pending, now) if excused(state, on) else None
            return sure or Step(Verdict.WAIT, on=on)
    return Step(Verdict.SEND, wanted)


def _promised(state: State, pending: Pending) -> Resource | None:
    """Gives the route with which its listener was let through, if its clusters are still wanted.

    Nothing keeps them for it: one that is gone looks like one of the client's own bootstrap.
    """
    promise = pending.promise
    if promise is None or any(
        state.cursor.base.get(cluster) is None for cluster in clusters(state, promise)
    ):
        return None
    return promise


def _sent_as_cluster(state: State, key: Key) -> bool:
    return any(True for _ in state.cursor.users(key))


def _cluster_held(state: State, key: Key) -> bool:
    if _sent_as_cluster(state, key):
        return True
    wanted = list(state.cursor.base.users(key))
    return not wanted or any(state.cursor.states(cluster) != (None,) for cluster in wanted)


def _removal(state: State, key: Key, pending: Pending, now: float, *, again: bool) -> Step:
    if pending.states == (None,):
        return Step(Verdict.SEND, None) if again else NOTHING
    if key in state.strays:
        return NOTHING
    if key.type_url == LISTENER:
        return _listener_removal(state, pending, now)
    settled_at = state.asked_at + SETTLING
    for user in state.cursor.users(key):
        if state.cursor.opened(user.type_url):
            return Step(Verdict.WAIT, on=user)
        if now < settled_at:
            return Step(Verdict.LATER, at=settled_at)
    if state.resumed and now < settled_at and may_be_used(state, key.type_url):
        return Step(Verdict.LATER, at=settled_at)
    for user_type in USERS.get(key.type_url, ()):
        for user in unknown(state, user_type):
            return Step(Verdict.WAIT, on=user)
    return Step(Verdict.SEND, None)


def _listener_removal(state: State, pending: Pending, now: float) -> Step:
    heir = successor(state, pending)
    if heir is not None:
        return Step(Verdict.WAIT, on=heir)
    settled_at = state.asked_at + SETTLING
    if now < settled_at and may_be_succeeded(state, pending):
        return Step(Verdict.LATER, at=settled_at)
    return Step(Verdict.SEND, None)
