"""A real Envoy that is sent what translate() makes, over ADS, by our own server."""

import json
from collections.abc import Iterable, Mapping
from typing import Self

from lbaas.model.objects import PoolTree
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.waiting import until
from tests.translate.trees import FLEET
from xds.cache import Key, RejectedVersion, Resource, SnapshotCache
from xds.server import Server, serve
from xds.translate import bootstrap, to_json, translate

ID = "edge"


class _Rejections:
    """Collects what Envoy refuses; hears all else without interest."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def opened(self, stream: object) -> None: ...

    def closed(self, stream: object) -> None: ...

    def confirmed(self, stream: object, keys: object) -> None: ...

    def rejected(self, stream: object, rejection: RejectedVersion) -> None:
        self.texts.append(f"{rejection.key.name}: {rejection.message}")


class TranslatedNode:
    """One fleet of one node. `apply` returns once Envoy has answered for everything."""

    def __init__(self) -> None:
        self._cache = SnapshotCache()
        self._rejections = _Rejections()
        self._cache.observer = self._rejections
        self._server: Server
        self._revision = 0
        self._sent: dict[Key, Resource] = {}
        self.envoy: EnvoyProcess

    async def __aenter__(self) -> Self:
        self._cache.advance(ID, 0, {})
        self._server = await serve(self._cache, "127.0.0.1:0")
        config = bootstrap(
            fleet=ID, node="one", xds_address=[("127.0.0.1", self._server.port)], admin_port=0
        )
        self.envoy = EnvoyProcess(json.loads(to_json(config)))
        await self.envoy.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.envoy.__aexit__(*exc)
        await self._server.stop()

    @property
    def rejected(self) -> list[str]:
        """Gives what Envoy refused so far, in its words."""
        return self._rejections.texts

    async def apply(self, *trees: PoolTree, within: float = 10.0) -> None:
        """Makes these trees all that the node runs, and waits for its answers."""
        rendered = {
            key: each.resource for tree in trees for key, each in translate(tree, FLEET).items()
        }
        await self.send(rendered, within=within)

    async def send(self, wanted: Mapping[Key, Resource], *, within: float = 10.0) -> None:
        """Makes these resources all that the node runs, and waits for its answers."""
        gone: Iterable[Key] = self._sent.keys() - wanted.keys()
        self._revision += 1
        self._cache.advance(ID, self._revision, {**wanted, **dict.fromkeys(gone)})
        self._sent = dict(wanted)
        touched = [*wanted, *gone]

        async def answered() -> bool:
            streams = self._cache.streams(ID)
            return bool(streams) and all(
                stream.confirmed(key, self._revision) for stream in streams for key in touched
            )

        try:
            await until(answered, within=within, what=f"Envoy confirms {len(touched)} resources")
        except AssertionError as error:
            raise AssertionError(f"{error}; rejected: {self.rejected}") from error
