"""Thousands of streams at once, from a process of their own: `python -m tests.server.storm ...`.

Each is a node that does what a starting Envoy does: clusters, then their endpoints, then
listeners, then their routes. It prints one line of JSON: how many were given all, how often one
was refused and came back, and the seconds that each took; then it stays until its input ends.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from tests.harness.ads_client import _ADS, CDS, EDS, LDS, RDS

FOLLOWS = {CDS: EDS, LDS: RDS}


@dataclass
class Storm:
    """What became of the streams."""

    whole: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


async def _live(method, node, name, storm, began, stay):
    call = method()
    try:
        for type_url in (CDS, EDS, LDS, RDS):
            request = DeltaDiscoveryRequest(type_url=type_url)
            if type_url == CDS:
                request.node.CopyFrom(Node(id=node, cluster="fleet"))
            if type_url in FOLLOWS.values():
                request.resource_names_subscribe.append(name)
            await call.write(request)
            while True:
                answer = await call.read()
                if answer is grpc.aio.EOF:
                    storm.lost.append(f"{await call.code()}: {await call.details()}")
                    return
                ack = DeltaDiscoveryRequest(type_url=answer.type_url, response_nonce=answer.nonce)
                await call.write(ack)
                if answer.type_url == type_url and answer.resources:
                    break
        storm.whole += 1
        storm.seconds.append(time.perf_counter() - began)
    except grpc.aio.AioRpcError as error:
        storm.lost.append(f"{error.code()}: {error.details()}")
    finally:
        stay.count_down()


class _Latch:
    def __init__(self, count):
        self._count = count
        self.open = asyncio.Event()

    def count_down(self):
        self._count -= 1
        if not self._count:
            self.open.set()


async def main(port: int, streams: int, connections: int, prefix: str, name: str) -> None:
    channels = [
        grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    methods = [
        channel.stream_stream(
            _ADS + "DeltaAggregatedResources",
            request_serializer=DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=DeltaDiscoveryResponse.FromString,
        )
        for channel in channels
    ]
    storm, latch, began = Storm(), _Latch(streams), time.perf_counter()
    alive = [
        asyncio.create_task(
            _live(methods[number % connections], f"{prefix}-{number}", name, storm, began, latch)
        )
        for number in range(streams)
    ]
    await latch.open.wait()
    report = {"whole": storm.whole, "lost": storm.lost, "seconds": sorted(storm.seconds)}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    del alive


if __name__ == "__main__":
    _, port, streams, connections, prefix, name = sys.argv
    asyncio.run(main(int(port), int(streams), int(connections), prefix, name))
