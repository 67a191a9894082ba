"""Envoy's admin interface, asked over a unix socket or TCP."""

from types import TracebackType
from typing import Final, Self

import httpx

from agent.driver import AdminAddress

PATIENCE: Final = 3.0
"""Seconds until an Envoy that says nothing counts as not answering.

Its main thread answers admin and applies configuration: 1,000 VIPs at once keep it for 2 s
(Envoy 1.40, measured).
"""

_CONNECT: Final = 1.0


class AdminSilentError(Exception):
    """An Envoy's admin interface does not answer, or not with 200; the text tells why."""


class Admin:
    """Asks one Envoy. Connections are kept from question to question; close it at the end.

    Args:
        address: where it listens; nobody need listen there yet.
        patience: seconds until it counts as not answering.
    """

    def __init__(self, address: AdminAddress, *, patience: float = PATIENCE) -> None:
        self.address = address
        host = address.host or "envoy"
        if address.path is None:
            base = f"http://{f'[{host}]' if ':' in host else host}:{address.port}"
            transport = httpx.AsyncHTTPTransport()
        else:
            base = f"http://{host}"
            transport = httpx.AsyncHTTPTransport(uds=str(address.path))
        # Without the environment: its proxies have no business between an agent and its Envoy.
        self._client = httpx.AsyncClient(
            base_url=base,
            transport=transport,
            timeout=httpx.Timeout(patience, connect=_CONNECT),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def get(self, path: str, **query: str) -> bytes:
        """Gives the answer to `path` with this query.

        Raises:
            AdminSilentError: there was none, or not with 200.
        """
        return await self._ask("GET", path, query)

    async def post(self, path: str, **query: str) -> None:
        """Has something done.

        Raises:
            AdminSilentError: there was no answer, or not with 200.
        """
        await self._ask("POST", path, query)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, query: dict[str, str]) -> bytes:
        try:
            reply = await self._client.request(method, path, params=query)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise AdminSilentError(f"{self.address} {path}: {why}") from error
        if reply.status_code != httpx.codes.OK:
            said = reply.text.strip()[:200]
            raise AdminSilentError(f"{self.address} {path}: {reply.status_code} {said}")
        return reply.content
