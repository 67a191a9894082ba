"""One change among a thousand pools costs what one change costs."""

import asyncio

from lbaas.v1 import pool_service_pb2
from tests.features.world import STATUS, world

POOLS = 1_000
MEMBERS = 3
AT_ONCE = 32


def tree(number: int) -> dict[str, object]:
    """One pool with its members; their addresses are never connected to."""
    name = f"projects/acme/pools/p{number}"
    return {
        "pool": {"name": name, "protocol": "HTTP", "lb_method": "ROUND_ROBIN"},
        "members": [
            {
                "name": f"{name}/members/m{member}",
                "address": f"127.1.{member}.1",
                "port": 1 + number,
            }
            for member in range(MEMBERS)
        ],
    }


async def test_a_member_added_among_a_thousand_pools_sends_bytes_for_one_pool(tmp_path):
    async with world(tmp_path) as (plane, client, _):
        await client.project("acme")
        alone = await client.apply(tree(0))
        await client.applied(alone.pool.name)
        before = plane.xds.traffic.sent_bytes
        await client.member("projects/acme/pools/p0", "extra", "127.1.9.1:1")
        await client.applied("projects/acme/pools/p0/members/extra")
        bytes_alone = plane.xds.traffic.sent_bytes - before

        gate = asyncio.Semaphore(AT_ONCE)

        async def load(number: int) -> None:
            async with gate:
                await client.apply(tree(number))

        await asyncio.gather(*(load(number) for number in range(1, POOLS)))
        await asyncio.gather(
            *(
                client.applied(f"projects/acme/pools/p{number}", seconds=60)
                for number in range(POOLS)
            )
        )
        listed, token = [], ""
        while True:
            page = await client.pools.ListPools(
                pool_service_pb2.ListPoolsRequest(
                    parent="projects/acme", page_size=1000, page_token=token
                )
            )
            listed += page.pools
            token = page.next_page_token
            if not token:
                break
        assert len(listed) == POOLS
        assert {pool.provisioning_status for pool in listed} == {STATUS.ACTIVE}

        before = plane.xds.traffic.sent_bytes
        await client.member("projects/acme/pools/p7", "extra", "127.1.9.1:8")
        await client.applied("projects/acme/pools/p7/members/extra")
        bytes_among_many = plane.xds.traffic.sent_bytes - before
        # The nonce and the version grow by a few digits; nothing else may.
        assert bytes_among_many <= bytes_alone + 16, (bytes_alone, bytes_among_many)
