"""A process that writes pools until it is killed, and says each name once it is acknowledged."""

import asyncio
import itertools
import sys

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.objects import Quota
from lbaas.store import pools, quotas
from lbaas.store.store import Store
from tests.store import make


async def main(url: str) -> None:
    store = await Store.open(url, built=EVERYTHING)
    numbers = itertools.count(await store.read(pools.count))
    name = "projects/acme/quota"
    await store.write(lambda tx: quotas.update(tx, name, lambda _: Quota(name=name, pools=-1)))

    async def write() -> None:
        for number in numbers:
            pool = make.pool(f"projects/acme/pools/p{number}")
            stored = await store.write(lambda tx, pool=pool: pools.create(tx, pool))
            sys.stdout.write(f"{stored.name} {stored.record.rev}\n")
            sys.stdout.flush()

    await asyncio.gather(*(write() for _ in range(4)))


asyncio.run(main(sys.argv[1]))
