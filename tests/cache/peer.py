"""A raw peer: what is sent to a stream, and what comes back, message by message."""

from tests.cache.messages import cluster, endpoints, http_listener, route
from xds.cache import (
    NodeInfo,
    NodeStream,
    RejectedVersion,
    Request,
    Resource,
    Response,
    SnapshotCache,
)

FLEET = "edge"


def names(response: Response) -> list[str]:
    return sorted(resource.key.name for resource in response.resources)


def tree(name: str, port: int = 8000, tag: int = 0) -> list[Resource]:
    return [
        cluster(name, tag),
        endpoints(name, 80 + tag),
        http_listener(f"{name}-vip", port, f"{name}-vip"),
        route(f"{name}-vip", name),
    ]


class Peer:
    """A cache and one stream of it; requests are given, responses are collected."""

    def __init__(self, *, delta: bool = True, load: bool = True) -> None:
        self.cache = SnapshotCache(self)
        self.delta = delta
        self.now = 100.0
        self.revision = 0
        self.heard: list[RejectedVersion] = []
        self.settled: list[str] = []
        if load:
            self.cache.advance(FLEET, 0, {})
        self.connect()

    def opened(self, stream): ...

    def closed(self, stream): ...

    def confirmed(self, stream, keys):
        self.settled.extend(key.name for key in keys)

    def rejected(self, stream, rejection):
        self.heard.append(rejection)

    def connect(self) -> NodeStream:
        self.stream = self.cache.connect(
            fleet=FLEET, node=NodeInfo("n1"), delta=self.delta, now=self.now
        )
        return self.stream

    def reconnect(self) -> None:
        self.cache.disconnect(self.stream)
        self.connect()

    def set(self, *resources: Resource, gone: tuple[Resource, ...] = ()) -> list[Response]:
        self.revision += 1
        changes = {one.key: one for one in resources} | {one.key: None for one in gone}
        self.cache.advance(FLEET, self.revision, changes)
        return self.stream.run(self.now)

    def ask(self, type_url: str, **fields) -> list[Response]:
        self.stream.receive(Request(type_url, **fields), self.now)
        return self.stream.run(self.now)

    def ack(self, response: Response, **fields) -> list[Response]:
        if not self.delta:
            fields.setdefault("version_info", response.version)
        return self.ask(response.type_url, nonce=response.nonce, **fields)

    def nack(self, response: Response, error: str, **fields) -> list[Response]:
        return self.ask(response.type_url, nonce=response.nonce, error=error, **fields)

    def after(self, seconds: float) -> list[Response]:
        self.now += seconds
        return self.stream.run(self.now)
