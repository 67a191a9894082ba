"""Traffic counters that never fall while an Envoy runs, though its own parts come and go."""

from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Self

from lbaas.v1.agent_service_pb2 import TrafficSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted of an object; `active_connections` is how many there are now."""

    bytes_in: int = 0
    bytes_out: int = 0
    active_connections: int = 0
    total_connections: int = 0
    requests: int = 0
    errors: int = 0
    refused_connections: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            active_connections=self.active_connections + other.active_connections,
            total_connections=self.total_connections + other.total_connections,
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            refused_connections=self.refused_connections + other.refused_connections,
        )

    def fell_from(self, before: Self) -> bool:
        """Tells whether any counter is lower than before: it has begun anew."""
        mine, theirs = replace(self, active_connections=0), replace(before, active_connections=0)
        return any(one < other for one, other in zip(astuple(mine), astuple(theirs), strict=True))

    def sample(self, name: str) -> TrafficSample:
        """Gives them as a report has them."""
        return TrafficSample(
            name=name,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            active_connections=self.active_connections,
            total_connections=self.total_connections,
            requests=self.requests,
            errors=self.errors,
            refused_connections=self.refused_connections,
        )


NOTHING = Counts()


class Accumulator:
    """Sums the sources of each object, and keeps what a source had counted when it began anew.

    A source is a cluster or listener: Envoy counts from 0 again when one goes and comes back (a
    VIP switched off and on), and a pool is the sum of its clusters, whose sum would fall when one
    of them goes. All is of one Envoy process: make a new one when that was started again.
    """

    def __init__(self) -> None:
        self._last: dict[str, dict[str, Counts]] = {}
        self._before: dict[str, Counts] = {}

    def take(self, found: Mapping[str, Mapping[str, Counts]]) -> dict[str, Counts]:
        """Takes the newest counts by object and source, and gives each object's since the start."""
        totals = {}
        for name, sources in found.items():
            last = self._last.get(name, {})
            for source, was in last.items():
                now = sources.get(source, NOTHING)
                if now.fell_from(was):
                    kept = self._before.get(name, NOTHING)
                    self._before[name] = kept + replace(was, active_connections=0)
            self._last[name] = dict(sources)
            totals[name] = sum(sources.values(), self._before.get(name, NOTHING))
        return totals

    def keep(self, names: Collection[str]) -> None:
        """Forgets all objects but these: one that is made again by an old name starts at 0."""
        for gone in [name for name in self._last if name not in names]:
            del self._last[gone]
            self._before.pop(gone, None)
