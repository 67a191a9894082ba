"""Traffic: what each node's Envoy counted, and what those before it did, summed and never falling.

An Envoy counts from its start. What it had counted when it ended is kept as the base, on which the
next one's figures stand. The store keeps the same, node by node, so that a restart of the control
plane goes on from there; here the base is one sum.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lbaas.model.objects import EPOCH
from lbaas.model.reports import COUNTERS, SAME_START, Traffic, TrafficSample, fell, total

Row = tuple[str, str, datetime, Traffic]
"""What the store is given: a name, a node, its Envoy's start, what that counted."""


@dataclass(slots=True)
class Counted:
    """What one node's Envoy has counted since its start, by name."""

    start: datetime = EPOCH
    figures: dict[str, Traffic] = field(default_factory=dict)


class Counts:
    """All figures of all nodes. A name without any costs nothing."""

    def __init__(self) -> None:
        """Begins with nothing."""
        self._nodes: dict[str, Counted] = {}
        self._base: dict[str, Traffic] = {}
        self._unsaved: set[tuple[str, str]] = set()
        self._ended: list[dict[tuple[str, str], Row]] = []

    def restore(self, name: str, stored: Mapping[str, tuple[datetime, Traffic, Traffic]]) -> None:
        """Takes what the store has of a name: by node the Envoy's start, its figures, the base.

        Figures of an older start than the node's newest belong to the base; so do those of nodes
        that are gone for good, which the store has under no node.
        """
        for node, (start, figures, before) in stored.items():
            self._add(name, before)
            if not node:
                self._add(name, figures)
                continue
            counted = self._nodes.setdefault(node, Counted(start))
            if start > counted.start + SAME_START:
                self._end(node, counted)
                counted.start = start
            if start < counted.start - SAME_START:
                self._add(name, figures)
            else:
                counted.figures[name] = figures

    def nodes(self) -> Collection[str]:
        """Gives the nodes that may go on counting."""
        return self._nodes.keys()

    def take(
        self,
        node: str,
        start: datetime,
        samples: Iterable[TrafficSample],
        *,
        names: Callable[[str], str],
    ) -> None:
        """Takes what a node's Envoy has counted since `start`.

        `names` gives the string that is kept for a name, "" for a name that is not there.
        """
        counted = self._nodes.setdefault(node, Counted(start))
        if abs(start - counted.start) > SAME_START:
            self._end(node, counted)
            counted.start = start
        for sample in samples:
            name = names(sample.name)
            if not name:
                continue
            old = counted.figures.get(name)
            if old == sample.traffic:
                continue
            if old is not None and fell(sample.traffic, old):
                self._keep(node, counted, name)
            counted.figures[name] = sample.traffic
            self._unsaved.add((name, node))

    def _end(self, node: str, counted: Counted) -> None:
        """Puts what an Envoy that has ended counted to the base."""
        for name in list(counted.figures):
            self._keep(node, counted, name)

    def _keep(self, node: str, counted: Counted, name: str) -> None:
        figures = counted.figures.pop(name)
        self._add(name, figures)
        if (name, node) in self._unsaved:
            # The store adds up by itself, and has yet to hear of the last that was counted.
            self._unsaved.discard((name, node))
            row = (name, node, counted.start, figures)
            for wave in self._ended:
                if (name, node) not in wave:
                    wave[name, node] = row
                    return
            self._ended.append({(name, node): row})

    def _add(self, name: str, figures: Traffic) -> None:
        base = self._base.get(name)
        now = dataclasses.replace(figures, active_connections=0)
        if any(getattr(now, counter) for counter in COUNTERS):
            self._base[name] = now if base is None else total(base, now)

    def forget_node(self, node: str) -> None:
        """Takes that a node is gone for good: what it counted is of the past."""
        counted = self._nodes.pop(node, None)
        if counted is not None:
            self._end(node, counted)

    def forget(self, name: str) -> None:
        """Takes that an object is gone, and what was counted of it with it."""
        self._base.pop(name, None)
        for node, counted in self._nodes.items():
            counted.figures.pop(name, None)
            self._unsaved.discard((name, node))
            for wave in self._ended:
                wave.pop((name, node), None)

    def of(self, name: str, *, connected: Callable[[str], bool]) -> Traffic | None:
        """Gives all that was counted of an object; None for nothing.

        What is open now is of those nodes alone that are `connected` (by the node's name).
        """
        parts = [
            figures if connected(node) else dataclasses.replace(figures, active_connections=0)
            for node, counted in self._nodes.items()
            if (figures := counted.figures.get(name)) is not None
        ]
        base = self._base.get(name)
        if base is not None:
            parts.append(base)
        return total(*parts) if parts else None

    def unsaved(self) -> "Unsaved":
        """Gives what is to be saved, and takes it as saved."""
        ended = [list(wave.values()) for wave in self._ended]
        now = [
            (name, node, self._nodes[node].start, self._nodes[node].figures[name])
            for name, node in sorted(self._unsaved)
        ]
        self._ended, self._unsaved = [], set()
        return Unsaved(ended, now)

    def not_saved(self, unsaved: "Unsaved") -> None:
        """Takes back what could not be saved; what was counted since stands in its place."""
        past: dict[tuple[str, str], Row] = {}
        for row in unsaved.now:
            name, node, start, figures = row
            counted = self._nodes.get(node)
            newer = None if counted is None else counted.figures.get(name)
            same = counted is not None and start == counted.start
            if same and newer is not None and not fell(newer, figures):
                self._unsaved.add((name, node))
            else:
                past[name, node] = row
        waves = [{(row[0], row[1]): row for row in wave} for wave in unsaved.ended]
        self._ended = [*waves, *([past] if past else []), *self._ended]


@dataclass(frozen=True, slots=True)
class Unsaved:
    """Figures for the store: those of Envoys that ended, one wave after the other, then those now.

    No wave has a name of a node twice, so that the store can add up each by itself.
    """

    ended: Sequence[Sequence[Row]]
    now: Sequence[Row]
