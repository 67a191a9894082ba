"""One change among 10,000 pools beside one among 100: what the cache and a stream of it do.

No network and no Envoy: from the change to the bytes for a node that holds all, and its ACK taken.
"""

import random
import time

from benchmarks.figures import Figure, middle
from tests.harness import resources
from xds.cache import NodeInfo, NodeStream, Request, Resource, Response, SnapshotCache
from xds.server.framing import write_delta

FEW, MANY = 100, 10_000
ROUNDS = 30
CHANGES = 50
WARM_UP = 3
MEMBERS = 10


def _endpoints(number: int, weight: int) -> Resource:
    made = resources.endpoints(f"p{number}", [f"10.0.0.{n}:{9000 + n}" for n in range(MEMBERS)])
    made.endpoints[0].lb_endpoints[0].load_balancing_weight.value = weight
    return Resource.of(made)


class _Fleet:
    """A fleet of so many pools, and a node that holds them all."""

    def __init__(self, pools: int) -> None:
        self._pools = pools
        self._cache = SnapshotCache()
        self._revision = 1
        whole = [Resource.of(resources.cluster(f"p{number}")) for number in range(pools)]
        whole += [_endpoints(number, 1) for number in range(pools)]
        self._cache.advance("fleet", 1, {resource.key: resource for resource in whole})
        self._now = 0.0
        self._stream: NodeStream = self._cache.connect(
            fleet="fleet", node=NodeInfo("node"), delta=True, now=0.0
        )
        clusters, endpoints = whole[0].key.type_url, whole[-1].key.type_url
        self._settle(Request(clusters))
        names = tuple(f"p{number}" for number in range(pools))
        self._settle(Request(endpoints, subscribe=names))
        if not self._stream.in_step(1):
            raise RuntimeError("the node does not hold what it should")

    def round(self, seed: int) -> list[float]:
        """Microseconds of each change, made before the clock runs."""
        chance = random.Random(seed)
        changes = [
            _endpoints(chance.randrange(self._pools), 2 + seed % 100) for _ in range(CHANGES)
        ]
        found = []
        for changed in changes:
            self._now += 1.0
            began = time.perf_counter()
            self._revision += 1
            self._cache.advance("fleet", self._revision, {changed.key: changed})
            for response in self._stream.run(self._now):
                write_delta(response)
                self._stream.receive(_ack(response), self._now)
            found.append(1e6 * (time.perf_counter() - began))
        return found

    def _settle(self, request: Request) -> None:
        self._stream.receive(request, self._now)
        while responses := self._stream.run(self._now):
            for response in responses:
                self._stream.receive(_ack(response), self._now)
            self._now += 1.0


def _ack(response: Response) -> Request:
    return Request(response.type_url, nonce=response.nonce)


async def measure() -> list[Figure]:
    """The median cost among many; its floor is the one among few."""
    few, many = _Fleet(FEW), _Fleet(MANY)
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + ROUNDS):
        for fleet, samples in zip((few, many), found, strict=True):
            costs = fleet.round(number)
            if number >= WARM_UP:
                samples.extend(costs)
    return [
        middle(
            f"one change among {MANY:,} pools, cache and stream; floor among {FEW}",
            found[1],
            unit="us",
            budget="< 1.3x",
            floor=found[0],
        )
    ]
