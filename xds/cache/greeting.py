"""How a type begins on a stream: what the client that asks for it first holds of it already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xds.cache.channel import Channel
from xds.cache.cursor import States, merged
from xds.cache.resource import Resource, same
from xds.cache.state import State
from xds.cache.subscription import FULL_SETS
from xds.cache.types import ENDPOINT, LISTENER, Key, Request

if TYPE_CHECKING:
    from xds.cache.cache import SnapshotCache


def open_type(cache: SnapshotCache, fleet: str, state: State, channel: Channel) -> None:
    """Compares what the client said it holds with what is wanted, once for each type.

    Args:
        cache: who knows what else the fleet's nodes may hold.
        fleet: the client's.
        state: its stream's.
        channel: the type; nothing is done if it was opened before.
    """
    request = channel.greeting
    if request is None:
        return
    channel.greeting = None
    type_url = channel.type_url
    new_here = state.cursor.left_of(type_url) is None
    initial = _initial if state.delta else _remembered
    holds = initial(cache, fleet, state, channel, request)
    # What it says it holds and does not ask for is nothing that it relies on.
    holds = {name: states for name, states in holds.items() if channel.subscription.covers(name)}
    suspects = state.cursor.suspects_left(type_url)
    differing = state.cursor.open(type_url, holds)
    state.note_unknown(differing)
    if new_here and type_url == LISTENER:
        _find_strays(cache, fleet, state, request)
    for group in suspects:  # before they are looked at one by one
        channel.set_apart(name for name in group if Key(type_url, name) in state.cursor.pending)
    for key in differing:
        if state.covers(key) or state.cursor.base.get(key) is None:
            state.put(key)
        state.touch(key)
    channel.subscription.names.follow(state.cursor.base.of_type(type_url), ())
    _first_answers(state, channel, holds)
    subscription = channel.subscription
    if state.delta:
        channel.owed = subscription.wildcard or not subscription.names
    elif not request.version_info or differing or channel.uncertain:
        # An unanswered RTDS costs Envoy 15 s at its start.
        channel.owed = subscription.wildcard or all(
            state.nothing_for(Key(type_url, name)) for name in subscription.names
        )
    state.as_wanted(type_url, except_for=set(differing))


def _first_answers(state: State, channel: Channel, holds: Mapping[str, States]) -> None:
    """Notes the names that are answered at once, whether there is something of them or not."""
    type_url = channel.type_url
    for name in channel.subscription.names:
        key = Key(type_url, name)
        gone = name not in holds and state.cursor.base.get(key) is None
        behind = type_url == ENDPOINT and name in state.behind
        new = name not in holds and key in state.cursor.pending
        if gone or behind or new:
            channel.urgent[name] = None
            if name in state.placeholders:
                state.cursor.except_for(key, 0)


def _initial(
    cache: SnapshotCache, fleet: str, state: State, channel: Channel, request: Request
) -> dict[str, States]:
    """Gives what a delta client holds: what it says, and what it may not know itself.

    Envoy applies the good resources of a response that it refuses, and does not list them
    when it reconnects (measured): they would stay for ever when they are deleted meanwhile.
    """
    type_url = channel.type_url
    left = state.cursor.left_of(type_url)
    remembered = left or {}
    holds: dict[str, States] = {}
    for name, version in request.initial_versions.items():
        key = Key(type_url, name)
        candidates = (state.cursor.base.get(key), *remembered.get(name, ()))
        resource = next((one for one in candidates if one and one.version == version), None)
        if resource is None:
            resource = cache.former(fleet, key, version)
        if resource is None:
            resource = Resource.foreign(key, version)
        before = remembered.get(name, ())
        if len(before) > 1 and not same(before[-1], resource):
            # It refused a response that may have been applied in part, and lists what it
            # accepted before.
            holds[name] = merged((*before, resource))
        else:
            holds[name] = (resource,)
    for name, states in remembered.items():
        if name not in holds and len(states) > 1:
            holds[name] = (None, *(one for one in states if one is not None))
    for name in cache.buried(fleet, type_url) if left is None else ():
        key = Key(type_url, name)
        if state.covers(key):
            holds[name] = (*holds.get(name, (None,)), Resource.foreign(key, ""))
    return holds


def _remembered(
    cache: SnapshotCache, fleet: str, state: State, channel: Channel, request: Request
) -> dict[str, States]:
    """Gives what a state-of-the-world client holds; it says no more than one version."""
    if not request.version_info:
        return {}
    type_url = channel.type_url
    channel.accepted = request.version_info
    remembered = state.cursor.left_of(type_url)
    if remembered is not None and request.version_info in state.versions.get(type_url, ()):
        return remembered
    wanted = state.cursor.base.of_type(type_url)
    buried = cache.buried(fleet, type_url)
    holds: dict[str, States] = {}
    if type_url in FULL_SETS and state.cursor.base.version(type_url) == request.version_info:
        # That is what it accepted last; of what it refused it may have applied a part.
        holds.update((name, (resource,)) for name, resource in wanted.items())
        channel.owed = bool(buried)
    else:
        channel.uncertain = True
        for name in {*wanted, *channel.subscription.names}:
            key = Key(type_url, name)
            holds[name] = (None, Resource.foreign(key, request.version_info))
    # Clusters that are not wanted are no part of a full set, whatever still needs them: their
    # content is not known, so there is nothing to send that would keep them.
    for name in buried if type_url == LISTENER else ():
        holds.setdefault(name, (None, Resource.foreign(Key(type_url, name), "")))
    return holds


def _find_strays(cache: SnapshotCache, fleet: str, state: State, request: Request) -> None:
    """Looks whether a node that comes holds too many listeners that nobody has ever wanted.

    They are removed only when an operator says so: it is the store that may have lost them.
    Only delta clients say what they hold.
    """
    snapshot = cache.snapshot(fleet)  # with what only its canary is given yet
    wanted = {*state.cursor.base.of_type(LISTENER)}
    wanted.update(snapshot.of_type(LISTENER) if snapshot else ())
    buried, listed = cache.buried(fleet, LISTENER), request.initial_versions
    unknown = [name for name in listed if name not in wanted and name not in buried]
    if unknown:
        keys = [Key(LISTENER, name) for name in unknown]
        cache.found_strays(fleet, keys, of=len(listed))
