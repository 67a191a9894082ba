"""Reads what the Envoy has of clusters when the control plane asks: its answers may be withheld."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

import structlog

from agent.admin import Admin, AdminSilentError
from agent.readings import cluster_versions
from lbaas.v1.agent_service_pb2 import ClusterEvidence, ClusterEvidenceRequest

_BY_NAME: Final = 64
"""Up to so many clusters are asked for by name; of more the whole list is read."""

_TIMES_AS_LONG: Final = 10
"""A reading is followed by a pause of ten times its own length: 9 % of Envoy's time at most."""

log = structlog.get_logger("agent.evidence")


class EvidenceReader:
    """Answers requests, the newest alone: each replaces one that was not begun.

    Args:
        admin: the Envoy's.
        tell: takes the answer.
    """

    def __init__(self, admin: Admin, tell: Callable[[ClusterEvidence], None]) -> None:
        self._admin = admin
        self._tell = tell
        self._asked: ClusterEvidenceRequest | None = None
        self._wake = asyncio.Event()

    def ask(self, request: ClusterEvidenceRequest) -> None:
        """Takes a request."""
        self._asked = request
        self._wake.set()

    async def run(self) -> None:
        """Reads whenever it is asked, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            self._wake.clear()
            request, self._asked = self._asked, None
            if request is None:
                continue
            began = clock()
            try:
                self._tell(await self._read(request))
            except AdminSilentError as error:
                # It will be asked again if it still matters.
                log.info("envoy does not say what it has", why=str(error))
            await asyncio.sleep(_TIMES_AS_LONG * (clock() - began))

    async def _read(self, request: ClusterEvidenceRequest) -> ClusterEvidence:
        # What warms first: what becomes active between the two readings is then seen in both,
        # and not in none, which would mean that it is gone.
        warming = await self._versions("dynamic_warming_clusters", request)
        active = await self._versions("dynamic_active_clusters", request)
        return ClusterEvidence(ask=request.ask, active=active, warming=warming)

    async def _versions(self, resource: str, request: ClusterEvidenceRequest) -> dict[str, str]:
        names = request.clusters
        query = {"resource": resource, "mask": "version_info,cluster.name"}
        if len(names) <= _BY_NAME:
            query["name_regex"] = f"^({'|'.join(map(re.escape, names))})$"
        found = cluster_versions(await self._admin.get("/config_dump", **query))
        wanted = set(names)
        return {name: version for name, version in found.items() if name in wanted}
