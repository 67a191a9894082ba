"""Ends an Envoy's service politely: no new connections, and time for the old ones to end."""

import asyncio
import json
from datetime import timedelta
from typing import Final

import structlog

from agent.admin import Admin, AdminSilentError
from agent.driver import AdminAddress

log = structlog.get_logger("agent.envoy")

_LOOK_EVERY: Final = 0.2
_OPEN: Final = r"^listener\..*\.downstream_cx_active$"
_NOT_CLIENTS: Final = ("listener.admin.",)
_PER_WORKER: Final = ".worker_"


async def drain(address: AdminAddress, *, within: timedelta) -> None:
    """Has the Envoy take no more connections, and returns when all have ended or time is over.

    Measured on Envoy 1.40: from `/healthcheck/fail` on every HTTP answer carries `connection:
    close` (`/drain_listeners` alone does that too) and `/ready` tells others that it is DRAINING;
    `/drain_listeners` closes the listening sockets at once and touches no open connection. Its
    `graceful` waits before that for Envoy's own drain time (ten minutes here) and takes new
    connections all the while, so that nothing would ever be drained.

    A connection on which nothing is asked any more, an idle keep-alive one say, does not end by
    itself: it lasts until the time is over. An Envoy that does not answer is not waited for.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + within.total_seconds()
    async with Admin(address) as admin:
        try:
            await admin.post("/healthcheck/fail")
            await admin.post("/drain_listeners")
            left = await open_connections(admin)
            log.info("envoy drains", connections=left, seconds=within.total_seconds())
            while left and clock() < deadline:
                await asyncio.sleep(min(_LOOK_EVERY, max(0.0, deadline - clock())))
                left = await open_connections(admin)
        except AdminSilentError as error:
            log.warning("envoy cannot be drained", error=str(error))
            return
    if left:
        log.warning("drain time is over: open connections will be cut", connections=left)
    else:
        log.info("envoy has drained")


async def open_connections(admin: Admin) -> int:
    """Gives how many connections of clients are open, over all listeners.

    Raises:
        AdminSilentError: the Envoy does not answer.
    """
    found = json.loads(await admin.get("/stats", format="json", filter=_OPEN, type="Gauges"))
    return sum(
        entry["value"]
        for entry in found["stats"]
        if not entry["name"].startswith(_NOT_CLIENTS) and _PER_WORKER not in entry["name"]
    )
