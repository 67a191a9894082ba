"""Where Prometheus scrapes: HTTP on loopback, by the library's own small server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, start_http_server

from lbaas.model.errors import FailedPrecondition
from xds.server.server import is_loopback


@asynccontextmanager
async def scraped_at(address: str, registry: CollectorRegistry) -> AsyncIterator[int]:
    """Serves metrics while it is open; gives the port, 0 if `address` is empty: nothing listens.

    Args:
        address: `host:port` on loopback; port 0 takes a free one.
        registry: what is served, at any path, as text or as OpenMetrics (with exemplars).

    Raises:
        FailedPrecondition: the address is beyond loopback, or cannot be listened on.
    """
    if not address:
        yield 0
        return
    host, _, port = address.rpartition(":")
    if not is_loopback(address):
        raise FailedPrecondition(
            f"refusing to serve metrics on {address!r}: without authentication they are served on"
            " loopback (127.0.0.1, ::1 or localhost) only; have Prometheus, or an agent of it,"
            " scrape them on this machine",
            reason="AUTHENTICATION_REQUIRED",
            subject=address,
        )
    try:
        # In a thread: Python's HTTP server looks its own name up, which may take a while.
        server, thread = await asyncio.to_thread(
            start_http_server, int(port), host.strip("[]"), registry
        )
    except OSError as error:
        raise FailedPrecondition(
            f"cannot listen on {address!r} for metrics: is it in use?",
            reason="CANNOT_LISTEN",
            subject=address,
        ) from error
    try:
        yield server.server_port
    finally:
        # It looks up twice a second whether it should end; a scrape under way needs the loop.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
