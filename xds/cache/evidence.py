"""What a client's own administration says it runs, where its answers are withheld.

While one cluster warms on a mute member, Envoy withholds every CDS answer for as long as the
monitor's timeout (measured, 1.40), though the other clusters are active at once. Its config_dump
names them, each with the version that it was sent in.
"""

from __future__ import annotations

from collections.abc import Mapping

from xds.cache.answers import Report, holds
from xds.cache.channel import CLUSTERS_AFTER, Channel
from xds.cache.state import State
from xds.cache.types import CLUSTER, Key

MOST_ASKED = 1000
"""Names that are asked for at a time."""


def wanted(state: State, now: float) -> tuple[str, ...]:
    """Gives the clusters of which a client's own word is wanted; it replaces what was before.

    Those of which something is unanswered for longer than a client takes that withholds nothing,
    first what others wait for. In state of the world the client knows no versions of clusters.
    """
    channel = state.channels.get(CLUSTER)
    if channel is None:
        return ()
    channel.asked = {}
    if not state.delta:
        return ()
    waited: list[str] = []
    others: list[str] = []
    for flight in channel.flights.values():
        if now < flight.sent_at + CLUSTERS_AFTER:
            break
        for name in flight.entries:
            key = Key(CLUSTER, name)
            pending = state.cursor.pending.get(key)
            # If it held that version before, it may be that still, and what came between to come.
            if pending is None or pending.nonce != flight.nonce or not pending.telling:
                continue
            (waited if key in state.waiters else others).append(name)
    names = (*waited, *others)[:MOST_ASKED]
    channel.asked = {name: state.cursor.pending[Key(CLUSTER, name)].nonce for name in names}
    return names


def taken(
    state: State, active: Mapping[str, str], warming: Mapping[str, str], report: Report
) -> None:
    """Takes what a client has of the clusters that were asked for, by name and version.

    Whatever it names newer than a response, it has had that response: no later one waits for its
    answer. The answer may still refuse something, and is taken when it comes.
    """
    channel = state.channels.get(CLUSTER)
    if channel is None:
        return
    had: set[str] = set()
    for name, nonce in channel.asked.items():
        flight = channel.flights.get(nonce)
        key = Key(CLUSTER, name)
        pending = state.cursor.pending.get(key)
        if flight is None or name not in flight.entries:
            continue
        if pending is None or pending.nonce != nonce:
            continue  # something newer is under way
        sent = flight.entries[name]
        version = sent.version if sent is not None else None
        if active.get(name) == version and (sent is not None or name not in warming):
            del flight.entries[name]
            channel.suspects.discard(name)
            _note_outdated(channel, name, nonce)
            holds(state, key, pending, sent, report)
        elif version is None or warming.get(name) != version:
            continue
        had.add(nonce)
    channel.asked = {}
    _note_processed(channel, had)


def _note_outdated(channel: Channel, name: str, nonce: str) -> None:
    """That an earlier response is accepted says nothing of a name any more; a refusal may."""
    for flight in channel.flights.values():
        if flight.nonce == nonce:
            break
        if name in flight.entries:
            flight.outdated.add(name)


def _note_processed(channel: Channel, had: set[str]) -> None:
    """Responses are had in the order in which they were sent."""
    later = False
    for flight in reversed(channel.flights.values()):
        later = later or flight.nonce in had
        flight.processed = flight.processed or later
