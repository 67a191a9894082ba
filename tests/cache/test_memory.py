"""What a stream costs when its client holds everything: nothing that grows with the fleet."""

import gc
import tracemalloc

from tests.cache.messages import cluster, endpoints
from xds.cache import CLUSTER, ENDPOINT, NodeInfo, NodeStream, Request, SnapshotCache

POOLS = 1_000


def in_step(cache: SnapshotCache, node: str) -> NodeStream:
    """A stream whose client has asked for all there is, and has confirmed it."""
    stream = cache.connect(fleet="edge", node=NodeInfo(node), delta=True, now=0.0)
    names = tuple(cache.snapshot("edge").of_type(ENDPOINT))
    now = 0.0
    for request in (Request(CLUSTER), Request(ENDPOINT, subscribe=names)):
        stream.receive(request, now)
        while responses := stream.run(now):
            for response in responses:
                stream.receive(Request(response.type_url, nonce=response.nonce), now)
            now += 10.0
    assert stream.in_step(1)
    return stream


def test_a_stream_in_step_costs_little_however_many_names_it_was_given():
    cache = SnapshotCache()
    resources = [make(f"p{number}") for number in range(POOLS) for make in (cluster, endpoints)]
    cache.advance("edge", 1, {resource.key: resource for resource in resources})
    in_step(cache, "first")  # what all share
    gc.collect()
    tracemalloc.start()
    try:
        stream = in_step(cache, "second")
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stream.pending == {}
    # What is empty now had grown to 450 KiB.
    assert held < 16 * 1024
