"""From the commit of a new VIP to its first answered request, through the whole product.

The floor, in turn with it: a listener pushed by hand to another Envoy, which asks for its route.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.bare_server import BareServer
from benchmarks.commits import Commits
from benchmarks.figures import Figure, spread
from benchmarks.first_request import FirstRequest
from tests.features.world import node_bootstrap, world
from tests.harness import resources
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.members import Member
from tests.harness.ports import free_port

VIPS = 60
WARM_UP = 5


async def measure() -> list[Figure]:
    """p50 and p99 of commit to first answer."""
    whole, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        async with (
            world(Path(folder)) as (plane, client, _),
            Commits(plane.store) as commits,
            BareServer() as server,
            EnvoyProcess(node_bootstrap("edge", "bare", server.port)) as envoy,
            await Member.start("one") as member,
            FirstRequest() as asking,
        ):
            await client.project("bench")
            pool = await client.pool("bench", "web")
            await client.member(pool.name, "one", member.address)
            await client.applied(pool.name)
            server.hold([resources.cluster("web")])
            server.hold([resources.endpoints("web", [member.address])])
            await envoy.wait_ready()
            for number in range(WARM_UP + VIPS):
                port = free_port()
                answered = await asking.answered(port)
                commits.forget()
                vip = await client.vip("bench", f"v{number}", pool=pool.name, port=port)
                committed = await commits.next()
                product = 1000 * (await answered - committed)
                await client.applied(vip.name)

                port, name = free_port(), f"v{number}"
                answered = await asking.answered(port)
                server.hold([resources.route(name, "web")])
                pushed = time.perf_counter()
                await server.push(resources.http_listener(name, port))
                floor = 1000 * (await answered - pushed)
                if number >= WARM_UP:
                    whole.append(product)
                    bare.append(floor)
    return spread(
        "commit -> a new VIP answers its first request",
        whole,
        budget=("< 12 ms", "-"),
        floor=bare,
    )
