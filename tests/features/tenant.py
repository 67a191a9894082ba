"""What a tenant does and sees, for tests: a load balancer, its clients, its cookies."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from lbaas.v1 import pool_service_pb2, vip_pb2, vip_service_pb2
from tests.features.test_walk import spread
from tests.features.world import Client
from tests.harness.http_client import fetch
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until

METHODS = ("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP")
SLOW = {"type": "HTTP", "delay": "1s", "timeout": "1s", "max_retries": 3}
FINE = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
)
"""What a random change may be answered: it is not there, it is there, it is still going, it
would be given another address."""

GOOD = "projects/good/pools/web"
COOKIE = {"session_persistence": {"type": "HTTP_COOKIE", "cookie_name": "LB"}}


@contextlib.asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[Member]]:
    """Members m0, m1, ..."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(await Member.start(f"m{number}"))
            for number in range(count)
        ]


async def serving(
    client: Client, members: list[Member], *, project: str = "good", port: int = 0, **vip: Any
) -> tuple[str, str]:
    """A pool with these members and a VIP, live: the VIP's name and where it listens."""
    pool = await client.pool(project, "web")
    for member in members:
        await client.member(pool.name, member.name, member.address)
    port = port or free_port()
    made = await client.vip(project, "front", pool=pool.name, port=port, **vip)
    await client.applied(made.name)
    return made.name, f"127.0.0.1:{port}"


async def update_vip(client: Client, name: str, mask: str = "", **fields: Any) -> None:
    """Updates a VIP and waits until that is live."""
    request = {"vip": {"name": name, **fields}, **({"update_mask": mask} if mask else {})}
    made = await client.vips.UpdateVip(ParseDict(request, vip_service_pb2.UpdateVipRequest()))
    await client.applied(name, revision=made.revision)


async def update_pool(client: Client, name: str, **fields: Any) -> None:
    """Updates a pool and waits until that is live."""
    request = {"pool": {"name": name, **fields}}
    made = await client.pools.UpdatePool(ParseDict(request, pool_service_pb2.UpdatePoolRequest()))
    await client.applied(name, revision=made.revision)


async def serve(address: str, *names: str) -> None:
    """Waits until these members, and no others, answer."""

    async def so() -> bool:
        return set(await spread(address, 9)) == set(names)

    await until(so, within=10, what=f"{names} serve, and no others")


async def pins(address: str, count: int) -> dict[str, str]:
    """Cookies that pin clients to `count` members, by the member."""
    pinned: dict[str, str] = {}
    while len(pinned) < count:
        reply = await fetch(address)
        pinned[reply.text] = reply.set_cookies[0].partition(";")[0]
    return pinned


async def held(address: str, pinned: Mapping[str, str]) -> dict[str, set[str]]:
    """Which members answer the clients of each, over 6 requests."""
    return {
        name: {(await fetch(address, cookie=cookie)).text for _ in range(6)}
        for name, cookie in pinned.items()
    }


async def vip_of(client: Client, name: str) -> vip_pb2.Vip:
    """A VIP as it is now."""
    found: vip_pb2.Vip = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=name))
    return found
