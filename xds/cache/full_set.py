"""State of the world: all clusters, or all listeners, of one client at one moment."""

from __future__ import annotations

from collections.abc import Mapping

from xds.cache.channel import Channel
from xds.cache.needs import excused
from xds.cache.resource import Resource
from xds.cache.state import State
from xds.cache.types import LISTENER, Key


def full_set(
    state: State, channel: Channel, changes: Mapping[str, Resource | None]
) -> tuple[list[Resource], dict[str, Resource | None]]:
    """Gives all that a client is to hold of a type, which is never less than it needs.

    Args:
        state: the stream.
        channel: the type.
        changes: what this response changes; None is a removal.

    Returns:
        `changes`, what the client holds as wanted, and of the names that wait what it holds now;
        and what that says of names of which it was not certain what the client holds.
    """
    full: list[Resource] = []
    kept: dict[str, Resource | None] = {}
    for name, resource in state.cursor.base.of_type(channel.type_url).items():
        if not channel.subscription.covers(name):
            continue
        key = Key(channel.type_url, name)
        chosen: Resource | None = resource
        if name in changes:
            chosen = changes[name]
        elif key in state.cursor.pending:
            chosen = _held(state, key, kept)
        if chosen is not None:
            full.append(chosen)
    for key in state.cursor.pending:
        if key.type_url != channel.type_url or key.name in changes:
            continue
        if key.type_url == LISTENER and None in state.cursor.states(key):
            continue  # its removal was sent, with what has its address now: it is not to return
        held = _held(state, key, kept) if state.cursor.base.get(key) is None else None
        if held is not None:
            full.append(held)
    return full, kept


def would_lose(state: State, channel: Channel, changes: Mapping[str, Resource | None]) -> bool:
    """Whether a full set would take away what the client may hold in a version not known."""
    for key, pending in state.cursor.pending.items():
        if key.type_url != channel.type_url or key.name in changes:
            continue
        if all(one is None or one.known for one in pending.states):
            continue
        if not excused(state, key):
            return True
    return False


def _held(state: State, key: Key, kept: dict[str, Resource | None]) -> Resource | None:
    pending = state.cursor.pending[key]
    held = pending.held if pending.held is not None and pending.held.known else None
    if len(pending.states) > 1:
        kept[key.name] = held
    return held
