"""Why a name is not confirmed yet, in words."""

from __future__ import annotations

from xds.cache.cursor import Pending
from xds.cache.needs import restored
from xds.cache.resource import Resource, is_placeholder, same
from xds.cache.state import State
from xds.cache.types import Key

HELD = "is held back until the canary has confirmed it"
"""Why a node is not given what is wanted: another one has to try it first."""


def kind_of(key: Key) -> str:
    """Gives the short word for a name's type: "Cluster", "Listener"."""
    return key.type_url.rpartition(".")[2]


def explain(state: State, key: Key, now: float, depth: int = 4) -> str:
    """Says why the client does not hold `key` as wanted; empty if it does."""
    kind = kind_of(key)
    refused = state.refused(key)
    if refused is not None:
        return f"{kind} {key.name} rejected: {refused.message}"
    if not state.cursor.opened(key.type_url):
        return f"{kind}: the node has not asked for any yet"
    pending = state.cursor.pending.get(key)
    if pending is None:
        return ""
    if key in state.strays:
        return f"{kind} {key.name}: its removal waits for an operator's word"
    if not state.covers(key):
        return f"{kind} {key.name}: the node has not asked for it"
    return f"{kind} {key.name} {_obstacle(state, key, now, depth)}"


def blocked_by(state: State, key: Key, depth: int = 8) -> Key | None:
    """Gives the refused resource for which the client lacks `key`; None if it is none.

    A listener whose cluster is refused waits for it; endpoints of a cluster that is refused are
    not asked for.
    """
    if state.refused(key) is not None or depth == 0:
        return key if depth else None
    on = state.waits.get(key)
    if on is not None:
        return None if restored(state, on) else blocked_by(state, on, depth - 1)
    if state.covers(key):
        return None
    for user in state.cursor.base.users(key):
        if (found := blocked_by(state, user, depth - 1)) is not None:
            return found
    return None


def _obstacle(state: State, key: Key, now: float, depth: int) -> str:
    channel, pending = state.channels[key.type_url], state.cursor.pending[key]
    if pending.nonce:
        flight = channel.flights.get(pending.nonce)
        unanswered = f", unanswered for {now - flight.sent_at:.1f} s" if flight else ""
        return f"{_sent(pending, state.cursor.base.get(key))}{unanswered}"
    on = state.waits.get(key)
    if on is not None:
        why = explain(state, on, now, depth - 1) if depth else ""
        return f"waits for {kind_of(on)} {on.name}" + (f" ({why})" if why else "")
    if key in state.later:
        return f"is tried again in {max(0.0, state.later[key] - now):.1f} s"
    if channel.flights:
        oldest = next(iter(channel.flights.values()))
        return (
            "waits for the node's answer to an earlier response, "
            f"unanswered for {now - oldest.sent_at:.1f} s"
        )
    return "is not sent yet"


def _sent(pending: Pending, wanted: Resource | None) -> str:
    if same(pending.sent, wanted):
        return "sent"
    if pending.sent is not None and is_placeholder(pending.sent):
        return "sent without members first"
    return "waits for the node's answer to what was sent before"
