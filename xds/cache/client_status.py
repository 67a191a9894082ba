"""What is known of each resource of one client: for whoever asks what a node runs, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from xds.cache.cursor import States
from xds.cache.explain import explain
from xds.cache.rejections import Rejection
from xds.cache.resource import Resource, same
from xds.cache.state import State
from xds.cache.types import Key


class Standing(Enum):
    """How a client stands to what is wanted of one name now.

    SYNCED: it holds exactly that. SENT: that is sent, and not answered. REJECTED: it refused
    exactly that. NOT_SENT: none of these; what is wanted waits for something.
    """

    SYNCED = "synced"
    NOT_SENT = "not sent"
    SENT = "sent"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStatus:
    """One name on one client at one moment.

    Attributes:
        key: the name.
        standing: how the client stands to what is wanted.
        wanted: what is wanted; None: that it holds nothing of this name.
        holds: what it may hold, oldest first; one entry is certain, None is nothing.
        sent: what is under way if `sent_at` is set; None is a removal. Older than what is wanted,
            or something in its place, unless `standing` is SENT.
        sent_at: when that was sent, on the clock of the stream's calls; None: nothing unanswered.
        rejection: the last version that it refused, if it has accepted none since.
        waiting: why it does not hold what is wanted, in words; empty if it does.
    """

    key: Key
    standing: Standing
    wanted: Resource | None
    holds: States
    sent: Resource | None = None
    sent_at: float | None = None
    rejection: Rejection | None = None
    waiting: str = ""

    @property
    def held(self) -> Resource | None:
        """What it holds as far as it is known: the oldest that it may hold."""
        return self.holds[0]


def listed(state: State) -> list[Key]:
    """Gives the names that a client asks for, and those of which it may hold something; sorted.

    Costs what the client asks for: 10 ms at 10,000 names.
    """
    base = state.cursor.base
    names: dict[str, set[str]] = {}
    for type_url, channel in state.channels.items():
        covers, known = channel.subscription.covers, base.of_type(type_url)
        whole = channel.subscription.wildcard
        names[type_url] = set(known) if whole else {name for name in known if covers(name)}
        names[type_url].update(channel.subscription.names)
    for key, pending in state.cursor.pending.items():
        if key.type_url in names and pending.states != (None,):
            names[key.type_url].add(key.name)
    return [Key(type_url, name) for type_url in sorted(names) for name in sorted(names[type_url])]


def statuses(state: State, now: float) -> Iterator[ResourceStatus]:
    """Gives the status of every name, one at a time: each as it is when it is asked for.

    So a caller with other things to do may let go between two of them; what comes or goes
    meanwhile is not among the names.
    """
    for key in listed(state):
        yield status_of(state, key, now)


def status_of(state: State, key: Key, now: float) -> ResourceStatus:
    """Gives the status of one name.

    Args:
        state: the stream.
        key: the name.
        now: the time, on the clock of the stream's calls.
    """
    wanted, holds = state.cursor.base.get(key), state.cursor.states(key)
    pending, channel = state.cursor.pending.get(key), state.channels.get(key.type_url)
    flight = channel.flights.get(pending.nonce) if channel and pending and pending.nonce else None
    if state.refused(key) is not None:
        standing = Standing.REJECTED
    elif pending is None and state.cursor.opened(key.type_url):
        standing = Standing.SYNCED
    elif pending is not None and flight is not None and same(pending.sent, wanted):
        standing = Standing.SENT
    else:
        standing = Standing.NOT_SENT
    return ResourceStatus(
        key=key,
        standing=standing,
        wanted=wanted,
        holds=holds,
        sent=pending.sent if pending is not None and flight is not None else None,
        sent_at=None if flight is None else flight.sent_at,
        rejection=state.rejected.get(key),
        waiting="" if standing is Standing.SYNCED else explain(state, key, now),
    )
